// Files and addresses: one sortable list each.

const LISTS = {
  files: [trace.touched.files, "File", "No file was touched."],
  addresses: [trace.touched.addresses, "Address", "No socket was connected, bound or accepted."],
};
const COLUMNS = [
  ["opened", "Opened", grouped], ["reads", "Reads", grouped], ["read_bytes", "Read", size], ["writes", "Writes", grouped],
  ["written_bytes", "Written", size], ["looked", "Looked at", grouped], ["changed", "Changed", grouped], ["failed", "Failed", grouped],
];
const order = { files: ["reads", -1], addresses: ["opened", -1] };

/** The words by which the calls that name a file or an address are found: of an address, its host and its port stand apart. */
const words = (view, name) => (view === "files" ? name : name.replace(/^unix:/, "").replace(/^\[?(.*?)\]?:(\d+)$/, "$1 $2"));

function showList(view, query) {
  const SHOWN = 1000;
  const [list, title, none] = LISTS[view];
  const needle = (query.get("q") ?? "").toLowerCase();
  const [key, direction] = order[view];
  const places = list.names.map((_, place) => place).filter((place) => list.names[place].toLowerCase().includes(needle));
  const rank = (place) => (key === "name" ? list.names[place] : list.uses[place][key]);
  places.sort((a, b) => (rank(a) < rank(b) ? -direction : rank(a) > rank(b) ? direction : list.names[a] < list.names[b] ? -1 : 1));
  // Addresses are not looked at or changed by name.
  const columns = COLUMNS.filter(([column]) => list.uses.some((use) => use[column]));
  const heading = (column, text) => el("th", { scope: "col", class: column === "name" ? "program" : "number", "aria-sort": key === column ? (direction < 0 ? "descending" : "ascending") : null },
    el("button", { type: "button", on: { click: () => {
      order[view] = key === column ? [column, -direction] : [column, column === "name" ? 1 : -1];
      showList(view, where().query);
    } } }, text));
  const body = places.slice(0, SHOWN).map((place) => {
    const use = list.uses[place];
    return el("tr", {},
      el("td", { class: "path", title: list.names[place] }, el("a", { href: to("calls", { q: words(view, list.names[place]) }) }, list.names[place])),
      ...columns.map(([column, , show]) => el("td", { class: column === "failed" && use.failed ? "number failed" : "number" },
        use[column] ? (column === "failed" ? `${grouped(use.failed)} ${use.errno}` : show(use[column])) : "")));
  });
  const input = $(`${view}-q`);
  const table = list.names.length === 0 ? el("p", { class: "empty" }, none) :
    el("div", { class: "scroll tall" }, el("table", {},
      el("thead", {}, el("tr", {}, heading("name", title), ...columns.map(([column, text]) => heading(column, text)))),
      el("tbody", {}, ...body)));
  const left = places.length - body.length;
  const notes = [
    left > 0 ? `${grouped(left)} more are not shown: search for them.` : "",
    list.beyond > 0 ? `${grouped(list.beyond)} uses of further names are not listed.` : "",
  ].filter(Boolean).map((text) => el("p", { class: "more" }, text));
  if (input) {
    $(`${view}-list`).replaceChildren(table, ...notes);
  } else {
    const change = (event) => {
      history.replaceState(null, "", to(view, { q: event.target.value.trim() }));
      showList(view, where().query);
    };
    $(`view-${view}`).replaceChildren(
      el("form", { role: "search", on: { submit: (event) => event.preventDefault() } },
        el("input", { id: `${view}-q`, type: "search", placeholder: `Part of the ${title.toLowerCase()}`, "aria-label": "Search", autocomplete: "off", spellcheck: "false", on: { input: change } }),
        el("output", { id: `${view}-count`, "aria-live": "polite" })),
      el("div", { id: `${view}-list` }, table, ...notes));
  }
  if (document.activeElement !== $(`${view}-q`)) $(`${view}-q`).value = query.get("q") ?? "";
  $(`${view}-count`).textContent = `${grouped(places.length)} of ${grouped(list.names.length)}`;
}
