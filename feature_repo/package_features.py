"""The features of a package: the same for queries and for items, in the same embedding tables.

A field may have the tags `table` (fields with one table name share embeddings), `dim`, `vocabulary`
(`exact` or `hash`), `buckets` (rows of a hashed vocabulary) and `min_count` (how often a value must
occur). All are optional.
"""

from feast import Field
from feast.types import Array, String

SINGLE_VALUED = {
    "section": "the archive's section, such as python or libs",
    "source": "the source package that it is built from",
    "maintainer": "an opaque code of the maintaining person or team",
    "multi_arch": "how it may be installed for several architectures at once",
    "size_band": "its installed size in KiB, rounded down to a power of two",
    "homepage_host": "the host name of its home page",
}
MULTI_VALUED = {
    "tags": "its debtags, such as role::program",
    "name_tokens": "the parts of its name",
    "words": "the words of its one-line description",
}

package_features = [
    Field(name=name, dtype=String, description=description, tags={"table": name})
    for name, description in SINGLE_VALUED.items()
] + [
    Field(name=name, dtype=Array(String), description=description, tags={"table": name})
    for name, description in MULTI_VALUED.items()
]
