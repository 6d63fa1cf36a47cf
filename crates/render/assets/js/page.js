// Which view is shown, by the address behind the #.

const VIEWS = {
  overview: () => { if (!$("tree")) overview(); },
  timeline: showTimeline,
  calls: showCalls,
  files: (query) => showList("files", query),
  addresses: (query) => showList("addresses", query),
};

function show() {
  const { view: asked, query } = where();
  const name = VIEWS[asked] ? asked : "overview";
  for (const other of Object.keys(VIEWS)) $(`view-${other}`).hidden = other !== name;
  for (const link of document.querySelectorAll("nav a")) {
    if (link.getAttribute("href") === `#${name}`) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  VIEWS[name](query);
}

function introduce() {
  const root = processes[tree[0]?.[0]];
  const title = root ? command(root) : "An empty trace";
  document.title = `${title} · trace`;
  $("title").textContent = title;
  const began = trace.began_unix_ns ? `${new Date(trace.began_unix_ns / 1e6).toLocaleString()} · ` : "";
  if (root) {
    $("ending").replaceChildren(began, el("span", { class: isBad(root) ? "badge bad" : "badge" }, ending(root)), ` after ${duration(trace.end_ns)}`);
  }
  const total = (key) => trace.sums.reduce((sum, row) => sum + row[key], 0);
  const figures = [["calls", total("calls")], ["failed", total("errors")], ["processes", processes.length], ["threads", threads.length],
    ["files", trace.touched.files.names.length], ["addresses", trace.touched.addresses.names.length]];
  $("figures").replaceChildren(...figures.map(([name, value]) => el("div", {}, el("dt", {}, name), el("dd", {}, grouped(value)))));
  if (trace.seen > rows.at.length) {
    $("note").hidden = false;
    $("note").textContent = `The first ${grouped(rows.at.length)} rows are here one by one. ${grouped(trace.seen - rows.at.length)} later ones are only in the sums, files and addresses.`;
  }
}

introduce();
addEventListener("hashchange", show);
show();
