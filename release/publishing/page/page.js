"use strict";
// Shows the rows of the page's data. All that others wrote reaches the page as text nodes, never as markup.
(() => {
  const PAGE = 50; // rows shown at once
  const LONG = 2000; // characters of a text shown before "show all"
  const WORK = 4e6; // cells of a table of differences; beyond it a text differs as a whole
  const EVERY = "every_required_gate"; // the comparison's own name for a row that no required gate counts as wrong
  const WORDS = /\s+|[\p{L}\p{N}_]+|[^\s\p{L}\p{N}_]/gu;
  const MARKER = /\[([^[\]\s]{1,60})\]/g;

  const find = (id) => document.getElementById(id);
  const data = JSON.parse(find("data").textContent);
  const form = find("filter");
  const trained = data.forms[0];
  const required = new Set(data.required);
  const rowIds = new Set(data.rows.map((row) => row.id));
  let found = [];
  let shown = 0;

  // A text with spans marked in it: { from, to, kind } of kind ins, del, place or cite.
  function marked(text, spans) {
    const cuts = new Set([0, text.length]);
    for (const span of spans) cuts.add(Math.min(span.from, text.length)).add(Math.min(span.to, text.length));
    const at = [...cuts].sort((a, b) => a - b);
    const pieces = [];
    for (let i = 0; i + 1 < at.length; i++) {
      let nodes = visible(text.slice(at[i], at[i + 1]));
      for (const span of spans) {
        if (span.from > at[i] || span.to < at[i + 1]) continue;
        nodes = [wrapped(span, nodes)];
      }
      pieces.push(...nodes);
    }
    return pieces;
  }

  function wrapped(span, nodes) {
    if (span.kind === "place") return make("mark", {}, ...nodes);
    if (span.kind !== "cite") return make(span.kind, {}, ...nodes);
    const link = make("a", { href: `#${span.target}` }, ...nodes);
    link.addEventListener("click", (event) => {
      event.preventDefault();
      const document_ = find(span.target);
      document_.closest("details").open = true;
      document_.focus();
    });
    return link;
  }

  function long(text, spans) {
    const pre = make("pre", { tabindex: "0", dir: "auto", class: "text" });
    if (text.length <= LONG) {
      pre.append(...marked(text, spans));
      return pre;
    }
    const end = LONG - (/[\ud800-\udbff]/.test(text[LONG - 1]) ? 1 : 0);
    pre.append(...marked(text.slice(0, end), spans.filter((span) => span.from < end)), "…");
    const button = make("button", { type: "button" }, `Show all ${text.length.toLocaleString("en")} characters`);
    button.addEventListener("click", () => {
      pre.replaceChildren(...marked(text, spans));
      button.remove();
      pre.focus();
    });
    return make("div", {}, pre, button);
  }

  // Where a JSON Pointer leads in a text that is JSON; null where it is not, or leads nowhere.
  function placeOf(text, pointer) {
    const want = pointer.split("/").slice(1).map((one) => one.replace(/~1/g, "/").replace(/~0/g, "~"));
    let at = 0;
    let place = null;
    const take = (pattern) => {
      pattern.lastIndex = at;
      const match = pattern.exec(text);
      if (!match) throw new SyntaxError(pointer);
      at = pattern.lastIndex;
      return match[0];
    };
    const space = () => take(/\s*/y);
    const string = () => take(/"(?:[^"\\]|\\.)*"/sy);
    const value = (depth) => {
      space();
      const start = at;
      if (text[at] === "{" || text[at] === "[") {
        const object = take(/[{[]/y) === "{";
        for (let index = 0; space(), !/[}\]]/.test(text[at]); index++) {
          let key = String(index);
          if (object) {
            key = JSON.parse(string());
            take(/\s*:/y);
          }
          value(depth >= 0 && want[depth] === key ? depth + 1 : -1);
          take(/\s*,?/y);
        }
        at++;
      } else if (text[at] === '"') string();
      else take(/[^\s,\]}]+/y);
      if (depth === want.length) place = [start, at];
    };
    try {
      value(0);
    } catch {
      return null; // not JSON
    }
    return pointer === "" ? null : place;
  }

  // The spans of `text` that are not in `other`, word by word.
  function differences(text, other, kind) {
    const [a, b] = [text.match(WORDS) || [], other.match(WORDS) || []];
    let start = 0;
    while (start < a.length && start < b.length && a[start] === b[start]) start++;
    let [endA, endB] = [a.length, b.length];
    while (endA > start && endB > start && a[endA - 1] === b[endB - 1]) [endA, endB] = [endA - 1, endB - 1];
    const same = common(a.slice(start, endA), b.slice(start, endB));
    const spans = [];
    let at = 0;
    a.forEach((word, i) => {
      const differs = i >= start && i < endA && !same.has(i - start);
      const last = spans[spans.length - 1];
      if (differs && last && last.to === at) last.to += word.length;
      else if (differs) spans.push({ from: at, to: at + word.length, kind });
      at += word.length;
    });
    return spans;
  }

  // The words of `a` that a longest common sequence with `b` keeps, by place.
  function common(a, b) {
    const kept = new Set();
    const wide = b.length + 1;
    if ((a.length + 1) * wide > WORK) return kept;
    const table = new Uint32Array((a.length + 1) * wide);
    for (let i = a.length - 1; i >= 0; i--)
      for (let j = b.length - 1; j >= 0; j--)
        table[i * wide + j] =
          a[i] === b[j] ? table[(i + 1) * wide + j + 1] + 1 : Math.max(table[(i + 1) * wide + j], table[i * wide + j + 1]);
    for (let i = 0, j = 0; i < a.length && j < b.length; ) {
      if (a[i] === b[j]) [, i, j] = [kept.add(i), i + 1, j + 1];
      else if (table[(i + 1) * wide + j] >= table[i * wide + j + 1]) i++;
      else j++;
    }
    return kept;
  }

  // What a row was answered in a form, by the base or the last release, or what the reference says; null where nothing.
  function answer(row, who) {
    if (who === "reference") return row.r ?? null;
    const text = row.a[who];
    return text ?? (data.forms.includes(who) ? (row.a[trained] ?? null) : null);
  }

  const misses = (row, name) => row.w[name] || [];
  const titles = { reference: "reference", base: "the base alone", last: data.last === data.called ? data.last : `${data.called}, ${data.last}` };
  const title = (who) => titles[who] || who;

  function documents(row, number) {
    if (!row.d || !row.d.length) return null;
    const supports = new Set(row.s || []);
    const items = row.d.map(([name, text], i) =>
      make("li", { id: `document-${number}-${i}`, tabindex: "-1" },
        make("strong", {}, "[", make("bdi", {}, ...visible(name)), "]"),
        supports.has(name) ? " supports the answer: " : " ", make("bdi", {}, ...visible(text))));
    return make("details", { open: "" }, make("summary", {}, `Documents (${row.d.length})`), make("ul", { class: "documents" }, ...items));
  }

  function citations(row, number, text) {
    const places = new Map((row.d || []).map(([name], i) => [name, `document-${number}-${i}`]));
    return [...text.matchAll(MARKER)].filter((one) => places.has(one[1]))
      .map((one) => ({ from: one.index, to: one.index + one[0].length, kind: "cite", target: places.get(one[1]) }));
  }

  function panel(row, number, who, chosen) {
    const text = answer(row, who);
    if (text === null) return null;
    const from = form.elements.from.value;
    const spans = citations(row, number, text);
    const other = who === chosen ? answer(row, from) : who === from ? answer(row, chosen) : null;
    if (other !== null && from !== chosen) spans.push(...differences(text, other, who === chosen ? "ins" : "del"));
    if (data.forms.includes(who))
      for (const [, , pointer] of misses(row, who)) {
        const place = pointer ? placeOf(text, pointer) : null;
        if (place) spans.push({ from: place[0], to: place[1], kind: "place" });
      }
    const refuses = row.refused && row.refused[who] ? ", refuses" : "";
    const cites = ((row.cites || {})[who] || []).join(", ");
    const head = make("h3", {}, make("bdi", {}, ...visible(title(who))), who === chosen ? " (this one)" : "", refuses);
    return make("div", { class: who === chosen ? "this" : "" }, head,
      text === "" ? make("p", { class: "quiet" }, "nothing") : long(text, spans),
      cites ? make("p", { class: "quiet" }, "cites ", make("bdi", {}, ...visible(cites))) : null);
  }

  function reasons(row, chosen) {
    const found = misses(row, chosen);
    if (!found.length) return null;
    const items = found.map(([gate, reason, at, expected]) =>
      make("li", {}, make("code", {}, data.gates[gate]), ": ", make("bdi", {}, ...visible(reason)),
        at ? make("span", {}, ", at ", make("code", {}, ...visible(at))) : null,
        expected ? make("span", {}, "; expected: ", make("bdi", {}, ...visible(expected))) : null));
    return make("div", {}, make("h3", {}, "Why it is wrong"), make("ul", {}, ...items));
  }

  function body(row, number) {
    const chosen = form.elements.form.value;
    const before = row.p === undefined ? [] : data.asked[row.p];
    const others = ["reference", "base", "last", ...data.forms].filter((who) => who !== chosen);
    const panels = [chosen, ...others].map((who) => panel(row, number, who, chosen)).filter((one) => one !== null);
    return [
      reasons(row, chosen),
      before.length ? make("details", {}, make("summary", {}, `Messages before (${before.length})`),
        ...before.flatMap(([role, text]) => [make("h3", {}, role), long(text, [])])) : null,
      row.q === undefined ? null : make("div", {}, make("h3", {}, "question"), long(row.q, [])),
      documents(row, number),
      panels.length ? make("div", { class: "answers" }, ...panels) : make("p", {}, "There is no answer."),
    ].filter((one) => one !== null);
  }

  function chips(row) {
    const chosen = form.elements.form.value;
    const wrongAs = (name) => misses(row, name).filter(([gate]) => required.has(data.gates[gate]));
    const wrong = wrongAs(chosen);
    const told = [wrong.length
      ? make("span", { class: "chip bad" }, `✗ ${wrong.map(([gate]) => data.gates[gate]).join(", ")}`)
      : make("span", { class: "chip good" }, "✓ right")];
    for (const other of data.forms)
      if (other !== chosen && wrongAs(other).length > 0) told.push(make("span", { class: "chip bad" }, `✗ as ${other}`));
    for (const against of ["base", "last"])
      for (const what of ["lost", "won"])
        if (changed(row, against, what, EVERY))
          told.push(make("span", { class: "chip quiet" }, `${what} against ${against === "base" ? "the base" : data.called}`));
    if (row.refused && row.refused[chosen]) told.push(make("span", { class: "chip quiet" }, "refuses"));
    return told.flatMap((one) => [one, " "]);
  }

  function item(number) {
    const row = data.rows[number];
    const preview = (row.q || answer(row, trained) || "").trim().split("\n").pop().slice(0, 160);
    const summary = make("summary", {}, make("strong", {}, make("bdi", {}, ...visible(row.id))), " ", ...chips(row),
      make("bdi", { class: "preview" }, ...visible(preview)));
    const details = make("details", { class: "row", id: `row-${number}` }, summary);
    details.addEventListener("toggle", (event) => {
      if (event.target === details && details.open && !details.dataset.made) {
        details.dataset.made = "yes";
        details.append(...body(row, number));
      }
    });
    return details;
  }

  const sets = {};
  for (const [against, gates] of Object.entries(data.compared))
    for (const [gate, both] of Object.entries(gates))
      for (const what of ["lost", "won"]) sets[`${against} ${gate} ${what}`] = new Set(both[what]);
  const changed = (row, against, what, gate) => (sets[`${against} ${gate} ${what}`] || new Set()).has(row.id);

  function matches(row, asked) {
    const wrong = misses(row, asked.form).map(([gate]) => data.gates[gate]);
    const isWrong = asked.gate ? wrong.includes(asked.gate) : wrong.some((gate) => required.has(gate));
    if (asked.result && (asked.result === "wrong") !== isWrong) return false;
    if (asked.tag && !(row.t || []).includes(Number(asked.tag))) return false;
    for (const against of ["base", "last"])
      if (asked[against] && !changed(row, against, asked[against], asked.gate || EVERY)) return false;
    if (asked.refused && (asked.refused === "yes") !== Boolean(row.refused && row.refused[asked.form])) return false;
    return asked.words.every((word) => searched(row).includes(word));
  }

  const texts = new Map();
  function searched(row) {
    if (!texts.has(row)) texts.set(row, JSON.stringify([row.id, row.q, row.d, row.r, row.a]).toLowerCase());
    return texts.get(row);
  }

  function filter() {
    const asked = Object.fromEntries(new FormData(form));
    asked.words = asked.words.toLowerCase().split(/\s+/).filter(Boolean);
    const all = data.rows.map((_, number) => number).filter((number) => matches(data.rows[number], asked));
    const isWrong = (number) => misses(data.rows[number], asked.form).some(([gate]) => required.has(data.gates[gate]));
    found = [...all.filter(isWrong), ...all.filter((number) => !isWrong(number))];
    shown = 0;
    const open = [...document.querySelectorAll("details.row[open]")].map((row) => row.id);
    find("list").replaceChildren();
    more();
    for (const id of open) if (find(id)) find(id).open = true;
  }

  function more() {
    const next = found.slice(shown, shown + PAGE);
    find("list").append(...next.map(item));
    shown += next.length;
    const left = data.all - data.rows.length;
    find("count").textContent = `${found.length} of ${data.all} rows${shown < found.length ? `, the first ${shown} are shown` : ""}; wrong ones come first` +
      (left ? `; ${left} more are too much for a page and stand in gates/answers.jsonl` : "");
    find("more").hidden = shown >= found.length;
    return next;
  }

  function options(name, pairs) {
    const select = form.elements[name];
    select.append(...pairs.map(([value, text]) => make("option", { value }, text.replace(HIDDEN, "\ufffd"))));
    select.closest("label").hidden = pairs.length < 2;
  }

  // "#row-ID" in the address opens that row.
  function named() {
    let id = "";
    try {
      id = decodeURIComponent(location.hash.slice("#row-".length));
    } catch {
      return; // not an address of a row
    }
    if (!location.hash.startsWith("#row-") || !rowIds.has(id)) return;
    form.reset();
    filter();
    const number = data.rows.findIndex((row) => row.id === id);
    while (!find(`row-${number}`)) more();
    const row = find(`row-${number}`);
    row.open = true;
    row.querySelector("summary").focus();
    row.scrollIntoView();
  }

  options("gate", [["", "any required gate"], ...data.gates.map((gate) => [gate, gate])]);
  options("form", data.forms.map((one) => [one, one]));
  options("tag", [["", "all"], ...data.tags.map((tag, number) => [String(number), tag])]);
  const comparable = ["reference", "base", "last", ...data.forms].filter((who) => data.rows.some((row) => answer(row, who) !== null));
  options("from", [...comparable.map((who) => [who, title(who)]), ["", "nothing"]]);
  for (const against of ["base", "last"]) form.elements[against].closest("label").hidden = !data.compared[against];
  find("withheld").hidden = data.whole;
  form.hidden = false;
  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("input", filter);
  find("everything").addEventListener("click", () => {
    form.reset();
    filter();
  });
  find("more").addEventListener("click", () => {
    const next = more();
    if (next.length) find(`row-${next[0]}`).querySelector("summary").focus();
  });
  for (const link of document.querySelectorAll("[data-gate]"))
    link.addEventListener("click", () => {
      form.reset();
      form.elements.gate.value = link.dataset.gate;
      form.elements.result.value = "wrong";
      filter();
    });
  for (const button of document.querySelectorAll("[data-copy]")) {
    button.hidden = !navigator.clipboard;
    button.addEventListener("click", async () => {
      await navigator.clipboard.writeText(find(button.dataset.copy).textContent);
      button.textContent = "Copied";
    });
  }
  addEventListener("hashchange", named);
  filter();
  named();
})();
