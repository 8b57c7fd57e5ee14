"""Correlations between the item features of a catalogue, measured by mutual information.

- mine.py: the stage: correlations, associations, masking plan, heat map.
- catalogue_correlations.py: measures a day's catalogue, all of it or a sample.
- correlation_matrix.py: all pairs of features, each counted in the way that suits it.
- measures.py: the measures: mutual information, normalized, adjusted for chance.
- mutual_information.py: mutual information computed by the engine, for any features.
- code_counts.py, column_codes.py: the fast path for features that fit in memory as integer codes.
- dense.py: cuts dense features into categories.
- chance_level.py: the chance level of single-valued features, exactly.
- shuffling.py: the chance level of multi-valued features, by shuffling.
- daily_counts.py, pair_counts.py: pair counts that are kept from day to day.
- sample.py: a sample of the catalogue by a hash of the key.
- associations.py: the value pairs that make two features correlate.
- heat_map.py, display_text.py: the image, and values and figures as text.
- engine.py: DuckDB in this process, or Spark.
"""
