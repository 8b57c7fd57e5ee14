"use strict";
// Reads the columns of the page (packed.py says how they lie), and runs the search and the map.
// Everything from the data is set as text, never as markup.

const element = (id) => document.getElementById(id);

function make(tag, className, text) {
  const made = document.createElement(tag);
  if (className) made.className = className;
  if (text !== undefined) made.textContent = text;
  return made;
}

// One metric at a time; the buttons switch all tables of the page.
for (const button of document.querySelectorAll(".tabs button")) {
  button.addEventListener("click", () => {
    for (const other of document.querySelectorAll(".tabs button")) {
      other.setAttribute("aria-pressed", String(other === button));
    }
    for (const table of document.querySelectorAll("table[data-metric]")) {
      table.hidden = table.dataset.metric !== button.dataset.metric;
    }
  });
}

async function readPack(text) {
  const zipped = Uint8Array.from(atob(text.trim()), (letter) => letter.charCodeAt(0));
  const stream = new Blob([zipped]).stream().pipeThrough(new DecompressionStream("gzip"));
  const bytes = new Uint8Array(await new Response(stream).arrayBuffer());
  const size = new DataView(bytes.buffer).getUint32(0, true);
  const head = JSON.parse(new TextDecoder().decode(bytes.subarray(4, 4 + size)));
  const column = (name) => {
    const [kind, offset, length] = head.columns[name];
    const start = 4 + size + offset;
    if (kind === "text") {
      if (!head.lengths[name]) return [];
      return new TextDecoder().decode(bytes.subarray(start, start + length)).split("\0");
    }
    const width = Number(kind[1]);
    const values = new Uint32Array(length);
    for (let i = 0, at = start; i < length; i++) {
      for (let byte = 0, factor = 1; byte < width; byte++, factor *= 256) {
        values[i] += bytes[at++] * factor;
      }
    }
    return values;
  };
  return { head, column };
}

// The features of the items: `valuesOf(row)` is a list of {name, values, more}.
function readFeatures({ head, column }) {
  const features = (head.features || []).map((feature, number) => {
    const read = {
      ...feature,
      values: column(`values${number}`),
      codes: column(`codes${number}`),
    };
    if (feature.multi) {
      read.lengths = column(`lengths${number}`);
      read.starts = new Uint32Array(read.lengths.length);
      for (let row = 1; row < read.starts.length; row++) {
        read.starts[row] = read.starts[row - 1] + Math.min(read.lengths[row - 1], head.max_values);
      }
    }
    return read;
  });
  return (row) =>
    features.map((feature) => {
      const start = feature.multi ? feature.starts[row] : row;
      const total = feature.multi ? feature.lengths[row] : 1;
      const kept = Math.min(total, feature.multi ? head.max_values : 1);
      const values = [];
      for (let i = start; i < start + kept; i++) {
        const value = feature.values[feature.codes[i]];
        if (value !== undefined) values.push(value);
      }
      return { name: feature.name, values, more: total > kept };
    });
}

function runSearch(pack) {
  const { head, column } = pack;
  const items = column("items");
  const interactions = column("interactions");
  const neighbours = column("neighbours");
  const scores = column("scores");
  const valuesOf = readFeatures(pack);
  const lower = items.map((item) => item.toLowerCase());
  const query = element("query");
  const list = element("matches");
  const MAX_MATCHES = 12;
  let matches = [];
  let active = 0;

  // Ids that begin with the text come first, then those that have it inside; popular ones first.
  function find(text) {
    const wanted = text.toLowerCase();
    const found = [];
    for (let row = 0; row < head.searchable; row++) {
      const place = lower[row].indexOf(wanted);
      if (place >= 0) found.push([lower[row] === wanted ? 0 : place === 0 ? 1 : 2, row]);
    }
    found.sort((a, b) => a[0] - b[0] || interactions[b[1]] - interactions[a[1]] || a[1] - b[1]);
    return found.slice(0, MAX_MATCHES).map(([, row]) => row);
  }

  function close() {
    list.hidden = true;
    query.setAttribute("aria-expanded", "false");
    query.removeAttribute("aria-activedescendant");
  }

  function offer() {
    matches = query.value ? find(query.value) : [];
    active = 0;
    list.replaceChildren(
      ...matches.map((row, number) => {
        const option = make("li", "", items[row]);
        option.id = `match${number}`;
        option.setAttribute("role", "option");
        // Before the input loses its focus, which closes the list.
        option.addEventListener("mousedown", (event) => {
          event.preventDefault();
          choose(row);
        });
        return option;
      }),
    );
    if (query.value && !matches.length) list.append(make("li", "", "no such item"));
    list.hidden = !query.value;
    query.setAttribute("aria-expanded", String(!list.hidden));
    mark();
  }

  function mark() {
    [...list.children].forEach((option, number) => {
      const chosen = number === active && number < matches.length;
      option.setAttribute("aria-selected", String(chosen));
      if (chosen) {
        query.setAttribute("aria-activedescendant", option.id);
        // Scrolls the list alone: `scrollIntoView` would move the page as well.
        const below = option.offsetTop + option.offsetHeight - list.clientHeight;
        list.scrollTop = Math.min(Math.max(list.scrollTop, below), option.offsetTop);
      }
    });
  }

  function features(row, own) {
    const box = make("div", "values");
    for (const { name, values, more } of valuesOf(row)) {
      if (!values.length) continue;
      const one = make("span");
      one.append(make("i", "", name));
      values.forEach((value, number) => {
        if (number) one.append(", ");
        const shared = own && own.get(name).has(value);
        one.append(make("span", shared ? "same" : "", value));
      });
      if (more) one.append(", …");
      box.append(one);
    }
    return box;
  }

  function choose(row) {
    query.value = items[row];
    close();
    const own = new Map(valuesOf(row).map(({ name, values }) => [name, new Set(values)]));
    const chosen = make("div", "item chosen");
    const title = make("b", "", items[row]);
    title.append(make("small", "", ` ${interactions[row].toLocaleString("en")} interaction${interactions[row] === 1 ? "" : "s"}`));
    chosen.append(title, features(row, null));
    const lines = [chosen];
    for (let i = row * head.k; row < head.searchable && i < (row + 1) * head.k; i++) {
      const other = neighbours[i];
      if (other >= items.length) continue;
      const line = make("div", "item neighbour");
      const score = (scores[i] - 100) / 100;
      line.append(make("span", "score", score.toFixed(2).replace("-", "−")));
      let name = make("b", "", items[other]);
      if (other < head.searchable) {
        name = make("button", "name", items[other]);
        name.type = "button";
        name.addEventListener("click", () => choose(other));
      }
      line.append(name, features(other, own));
      lines.push(line);
    }
    element("found").replaceChildren(...lines);
    document.dispatchEvent(new CustomEvent("chosen", { detail: row }));
  }

  query.addEventListener("input", offer);
  query.addEventListener("focus", () => query.select());
  query.addEventListener("blur", close);
  query.addEventListener("keydown", (event) => {
    if (event.key === "ArrowDown" || event.key === "ArrowUp") {
      event.preventDefault();
      if (!matches.length) return;
      active = (active + (event.key === "ArrowDown" ? 1 : -1) + matches.length) % matches.length;
      mark();
    } else if (event.key === "Enter" && matches.length && !list.hidden) {
      event.preventDefault();
      choose(matches[active]);
    } else if (event.key === "Escape") {
      close();
    }
  });

  // An example to begin with: the item with most interactions.
  let first = 0;
  for (let row = 1; row < head.searchable; row++) {
    if (interactions[row] > interactions[first]) first = row;
  }
  choose(first);
  query.value = "";
  return { items, choose };
}

function runMap({ head, column }, { items, choose }) {
  const canvas = element("canvas");
  const under = element("under");
  const [xs, ys] = [column("map_x"), column("map_y")].map((c) => Float64Array.from(c, (v) => v / 65535));
  const [rows, group] = [column("map_item"), column("map_group")];
  const GREY = 255;
  let alone = null;
  let marked = -1;
  const MARGIN = 24;

  const place = (i) => [
    MARGIN + xs[i] * (canvas.clientWidth - 2 * MARGIN),
    MARGIN + (1 - ys[i]) * (canvas.clientHeight - 2 * MARGIN),
  ];

  // A group's label stands where its points are densest.
  function labelled(number) {
    const cells = new Map();
    const CELLS = 16;
    for (let i = 0; i < xs.length; i++) {
      if (group[i] !== number) continue;
      const key = Math.min(CELLS - 1, Math.floor(xs[i] * CELLS)) * CELLS +
        Math.min(CELLS - 1, Math.floor(ys[i] * CELLS));
      const cell = cells.get(key) || { count: 0, x: 0, y: 0 };
      cell.count++;
      cell.x += xs[i];
      cell.y += ys[i];
      cells.set(key, cell);
    }
    let best = null;
    for (const cell of cells.values()) if (!best || cell.count > best.count) best = cell;
    return best && [best.x / best.count, best.y / best.count];
  }
  const labels = head.groups.map((_, number) => labelled(number));

  function draw() {
    const style = getComputedStyle(document.documentElement);
    const colour = (name) => style.getPropertyValue(name).trim();
    const ratio = window.devicePixelRatio || 1;
    canvas.width = canvas.clientWidth * ratio;
    canvas.height = canvas.clientHeight * ratio;
    const pen = canvas.getContext("2d");
    pen.scale(ratio, ratio);
    const colours = head.groups.map((_, number) => colour(`--g${number}`));
    const radius = canvas.clientWidth < 500 ? 1.4 : 2;
    // Grey points first, so that they hide none of the coloured ones.
    for (const coloured of [false, true]) {
      for (let i = 0; i < xs.length; i++) {
        const shown = group[i] !== GREY && (alone === null || group[i] === alone);
        if (shown !== coloured) continue;
        pen.globalAlpha = coloured ? 0.8 : 0.45;
        pen.fillStyle = coloured ? colours[group[i]] : colour("--other");
        const [x, y] = place(i);
        pen.beginPath();
        pen.arc(x, y, radius, 0, 2 * Math.PI);
        pen.fill();
      }
    }
    pen.globalAlpha = 1;
    pen.font = `600 ${canvas.clientWidth < 500 ? 11 : 13}px system-ui, "DejaVu Sans", sans-serif`;
    pen.textAlign = "center";
    pen.textBaseline = "middle";
    const taken = [];
    head.groups.forEach((name, number) => {
      if (!labels[number] || (alone !== null && alone !== number)) return;
      const text = name.length > 24 ? `${name.slice(0, 23)}…` : name;
      const half = pen.measureText(text).width / 2 + 4;
      const x = Math.min(
        Math.max(MARGIN + labels[number][0] * (canvas.clientWidth - 2 * MARGIN), half),
        canvas.clientWidth - half,
      );
      let y = MARGIN + (1 - labels[number][1]) * (canvas.clientHeight - 2 * MARGIN);
      // A label that would cover a larger group's moves down.
      const covers = (other) => Math.abs(other.x - x) < other.half + half && Math.abs(other.y - y) < 17;
      for (let tries = 0; tries < 12 && taken.some(covers); tries++) y += 8;
      taken.push({ x, y, half });
      pen.lineWidth = 4;
      pen.lineJoin = "round";
      pen.strokeStyle = colour("--ground");
      pen.strokeText(text, x, y);
      pen.fillStyle = colours[number];
      pen.fillText(text, x, y);
    });
    if (marked >= 0) {
      const [x, y] = place(marked);
      pen.strokeStyle = colour("--ink");
      pen.lineWidth = 2;
      pen.beginPath();
      pen.arc(x, y, 7, 0, 2 * Math.PI);
      pen.stroke();
    }
  }

  function nearest(event) {
    const box = canvas.getBoundingClientRect();
    let best = -1;
    let least = 12 ** 2;
    for (let i = 0; i < xs.length; i++) {
      if (alone !== null && group[i] !== alone) continue;
      const [x, y] = place(i);
      const distance = (x - event.clientX + box.left) ** 2 + (y - event.clientY + box.top) ** 2;
      if (distance < least) [best, least] = [i, distance];
    }
    return best;
  }

  canvas.addEventListener("mousemove", (event) => {
    const point = nearest(event);
    under.hidden = point < 0;
    canvas.style.cursor = point < 0 ? "" : "pointer";
    if (point < 0) return;
    const value = head.groups[group[point]];
    under.textContent = items[rows[point]] + (value === undefined ? "" : ` · ${value}`);
    const [x, y] = place(point);
    under.style.left = `${Math.min(x + 10, canvas.clientWidth - under.offsetWidth)}px`;
    under.style.top = `${Math.max(0, y - 34)}px`;
  });
  canvas.addEventListener("mouseleave", () => (under.hidden = true));
  canvas.addEventListener("click", (event) => {
    const point = nearest(event);
    if (point < 0) return;
    choose(rows[point]);
    element("search").scrollIntoView();
  });
  document.addEventListener("chosen", (event) => {
    marked = rows.indexOf(event.detail);
    draw();
  });
  for (const button of document.querySelectorAll("#groups button")) {
    button.addEventListener("click", () => {
      const number = Number(button.dataset.group);
      alone = alone === number ? null : number;
      for (const other of document.querySelectorAll("#groups button")) {
        other.setAttribute("aria-pressed", String(alone !== null && other === button));
      }
      draw();
    });
  }
  window.addEventListener("resize", draw);
  window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
  draw();
}

const packed = element("pack");
if (packed) {
  readPack(packed.textContent)
    .then((pack) => {
      runMap(pack, runSearch(pack));
      document.documentElement.dataset.ready = "true";
    })
    .catch((error) => {
      element("found").replaceChildren(
        make("p", "note", `The items cannot be read here (${error}): open the page in a browser of 2023 or later.`),
      );
    });
}
