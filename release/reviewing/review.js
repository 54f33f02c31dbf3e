"use strict";
// A review by keyboard or mouse. What others wrote reaches the page as text nodes, never as markup.
(() => {
  const LONG = 4000; // characters of a text shown before "show all"
  const find = (id) => document.getElementById(id);
  let me = "";
  let all = { rows: [], says: [], reasons: [] };
  let at = 0;
  let active = 0;
  let judged = 0;
  let saving = Promise.resolve();
  const unsaved = new Set(); // rows whose last word is not in the file yet

  function shown(text) {
    const pre = make("pre", { tabindex: "0", dir: "auto", class: "text" });
    if (text.length <= LONG) {
      pre.append(...visible(text));
      return pre;
    }
    const end = LONG - (/[\ud800-\udbff]/.test(text[LONG - 1]) ? 1 : 0);
    pre.append(...visible(text.slice(0, end)), "…");
    const button = make("button", { type: "button" }, `Show all ${text.length.toLocaleString("en")} characters`);
    button.addEventListener("click", () => {
      pre.replaceChildren(...visible(text));
      button.remove();
      pre.focus();
    });
    return make("div", {}, pre, button);
  }

  async function ask(what, body) {
    const answer = await fetch(what, {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify(body),
    });
    const told = await answer.json();
    if (!answer.ok) throw new Error(told.error);
    find("trouble").textContent = "";
    return told;
  }

  function trouble(error) {
    const why = error instanceof TypeError ? "the command that serves this page has ended: start it again" : error.message;
    find("trouble").textContent = `Not saved: ${why}`;
  }

  // One after the other, so that the last word is the one that is kept.
  function save(index = at) {
    const row = all.rows[index];
    const body = {
      name: me,
      id: row.id,
      notes: row.notes,
      answers: row.answers.map(({ says, reason }) => ({ says, reason })),
    };
    unsaved.add(index);
    saving = saving.then(() => {
      unsaved.delete(index);
      return ask("say", body);
    }).then(saved, (error) => {
      unsaved.add(index);
      trouble(error);
    });
  }

  // What could not be saved is sent again once something could.
  function saved(said) {
    told(said);
    const [first] = unsaved;
    if (first !== undefined) save(first);
  }

  function told({ done }) {
    find("progress").value = done;
    find("done").textContent = `${done} of ${all.rows.length} rows are answered and saved`;
    find("finish").disabled = done < all.rows.length;
  }

  const name = (index) => (all.rows[at].answers.length > 1 ? `Answer ${"AB"[index]}` : "Both answers, which are the same");

  function answer(one, index) {
    const choices = all.says.map((says) => {
      const button = make("button", { type: "button", "aria-pressed": String(one.says === says) }, says);
      button.addEventListener("click", () => judge(index, says));
      return button;
    });
    const select = make("select", {}, make("option", { value: "" }, "no reason"), ...all.reasons.map((one_) => make("option", { value: one_ }, one_)));
    select.value = one.reason;
    select.disabled = one.says === null || one.says === "right";
    select.addEventListener("change", () => why(index, select.value));
    const group = make("div", { class: "choices", role: "group", "aria-label": name(index) }, ...choices, make("label", {}, "reason", select));
    const box = make("div", { class: `answer${index === active ? " active" : ""}` }, make("h3", {}, name(index)), shown(one.text), group);
    box.addEventListener("pointerdown", () => frame(index));
    return box;
  }

  function frame(index) {
    if (index >= all.rows[at].answers.length) return;
    active = index;
    [...find("answers").children].forEach((box, number) => box.classList.toggle("active", number === index));
  }

  function drawn() {
    const row = all.rows[at];
    find("answers").replaceChildren(...row.answers.map(answer));
  }

  function judge(index, says) {
    const row = all.rows[at];
    const one = row.answers[index];
    one.says = says;
    if (says === "right") one.reason = "";
    judged = index;
    const open = row.answers.findIndex((other) => other.says === null);
    active = open < 0 ? index : open;
    again();
    save();
  }

  function why(index, reason) {
    const one = all.rows[at].answers[index];
    if (one.says === null || one.says === "right") return;
    one.reason = reason;
    again();
    save();
  }

  // Drawn again with the focus where it was.
  function again() {
    const held = [...find("answers").querySelectorAll("button, select, pre")].indexOf(document.activeElement);
    drawn();
    if (held >= 0) find("answers").querySelectorAll("button, select, pre")[held]?.focus();
  }

  function go(to) {
    if (to < 0 || to >= all.rows.length) return;
    at = to;
    judged = 0;
    const row = all.rows[at];
    const open = row.answers.findIndex((one) => one.says === null);
    active = open < 0 ? 0 : open;
    find("row-title").textContent = `Row ${at + 1} of ${all.rows.length}: `;
    find("row-title").append(make("bdi", {}, ...visible(row.id)));
    find("before").hidden = row.before.length === 0;
    find("before-texts").replaceChildren(...row.before.flatMap(([role, text]) => [make("h3", {}, role), shown(text)]));
    find("question").replaceChildren(shown(row.question));
    find("documents").hidden = row.documents.length === 0;
    find("document-list").replaceChildren(...row.documents.map((text) => make("li", {}, shown(text))));
    find("reference").hidden = row.reference === null;
    find("reference").open = false;
    find("reference-text").replaceChildren(shown(row.reference ?? ""));
    find("notes").value = row.notes;
    find("back").disabled = at === 0;
    find("on").disabled = at === all.rows.length - 1;
    drawn();
    find("row-title").focus();
  }

  function view(id) {
    for (const section of ["start", "read", "end"]) find(section).hidden = section !== id;
  }

  async function people() {
    const found = await ask("people", {});
    const wanted = `${found.wanted} ${found.wanted === 1 ? "person is" : "people are"} asked, each apart`;
    const lines = found.people.map((one) => {
      const state = one.through ? "through" : `${one.done} of ${found.rows} rows`;
      return make("li", {}, make("bdi", {}, ...visible(one.name || "without a name")), `: ${state}`);
    });
    find("people").replaceChildren(make("li", {}, wanted), ...lines);
  }

  async function begin() {
    me = find("begin").elements.name.value.trim();
    all = await ask("begin", { name: me });
    if (all.through) return end("finish", { name: me });
    const done = all.rows.filter((row) => row.answers.every((one) => one.says !== null)).length;
    find("progress").max = all.rows.length;
    view("read");
    told({ done });
    go(Math.max(0, all.rows.findIndex((row) => row.answers.some((one) => one.says === null))));
  }

  async function end(what, body) {
    const found = await ask(what, body);
    view("end");
    find("beside").textContent = found.beside === "base" ? "the base" : `the last release, ${found.beside}`;
    find("mine").replaceChildren(...found.mine.map(([row, ...said]) => make("tr", {}, make("th", { scope: "row" }, ...visible(row)), ...said.map((one) => make("td", {}, one)))));
    find("open").replaceChildren(...found.open.map((line) => make("li", {}, line)));
    find("found").hidden = found.found.length === 0;
    find("found").textContent = found.found.join("\n");
    find("disagreed").replaceChildren(...found.disagreed.map(settle));
    find("end-title").focus();
  }

  function settle(row) {
    const said = row.said.map(([who, what]) => make("li", {}, make("bdi", {}, ...visible(who || "without a name")), ": ", ...visible(what)));
    const buttons = all.says.map((says) => {
      const button = make("button", { type: "button", "aria-pressed": String(row.settled === says) }, says);
      button.addEventListener("click", () => end("settle", { name: me, id: row.id, says, notes: "" }).catch(trouble));
      return button;
    });
    const group = make("div", { class: "choices", role: "group", "aria-label": "what it is" }, ...buttons);
    const title = make("h3", {}, "Settle row ", make("bdi", {}, ...visible(row.id)));
    return make("div", {}, title, shown(row.question), shown(row.answer), make("ul", {}, ...said), group);
  }

  find("begin").addEventListener("submit", (event) => {
    event.preventDefault();
    begin().catch(trouble);
  });
  let typing; // notes are saved half a second after the last key, and where they are left
  find("notes").addEventListener("input", () => {
    all.rows[at].notes = find("notes").value;
    clearTimeout(typing);
    typing = setTimeout(save, 500, at);
  });
  find("notes").addEventListener("change", () => {
    clearTimeout(typing);
    save();
  });
  find("back").addEventListener("click", () => go(at - 1));
  find("on").addEventListener("click", () => go(at + 1));
  const finish = () => saving.then(() => end("finish", { name: me })).catch(trouble);
  find("finish").addEventListener("click", finish);
  find("close").addEventListener("click", () => ask("close", {}).then(() => find("trouble").append("The command has ended. You can close this page."), trouble));

  const KEYS = {
    r: () => judge(active, "right"),
    w: () => judge(active, "wrong"),
    c: () => judge(active, "cannot tell"),
    a: () => frame(0),
    b: () => frame(1),
    n: () => go(at + 1),
    p: () => go(at - 1),
    f: () => find("finish").disabled || finish(),
    ArrowRight: () => go(at + 1),
    ArrowLeft: () => go(at - 1),
  };
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape" && event.target === find("notes")) find("row-title").focus();
    const writes = event.target.closest("input, textarea, select");
    const held = event.repeat || event.ctrlKey || event.metaKey || event.altKey;
    if (find("read").hidden || !find("keys").checked || writes || held) return;
    const reason = all.reasons[Number(event.key) - 1];
    const action = Object.hasOwn(KEYS, event.key) ? KEYS[event.key] : reason && (() => why(judged, reason));
    if (!action) return;
    event.preventDefault();
    action();
  });
  people().catch(trouble);
})();
