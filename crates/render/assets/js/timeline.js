// The timeline: a lane for each thread, on one canvas. The table of calls is its equivalent in text.

const LANE = 20, AXIS = 24, LABEL = 190, LANES = 600;
const view = { from: 0, to: Math.max(1, trace.end_ns) };
let lanes = null;
let hovered = -1;

/** The lanes in the order of the tree, each with its rows in the order of time. */
function makeLanes() {
  const place = new Map(tree.map(([process, depth], index) => [process, [index, depth]]));
  const made = threads.map(([tid, process], thread) => ({ thread, tid, process, order: place.get(process)?.[0] ?? 0, depth: place.get(process)?.[1] ?? 0, rows: [] }));
  for (let row = 0; row < rows.at.length; row++) made[rows.thread[row]].rows.push(row);
  for (const lane of made) lane.rows.sort((a, b) => rows.at[a] - rows.at[b]);
  return made.sort((a, b) => a.order - b.order || a.thread - b.thread).slice(0, LANES);
}

const colours = {};
function readColours() {
  const style = getComputedStyle(document.documentElement);
  for (const name of ["wait", "network", "process", "memory", "signal", "file", "other", "failed", "text", "faint", "line", "ground", "life"]) {
    colours[name] = style.getPropertyValue(`--${name}`).trim();
  }
}

function axisStep(span, width) {
  const least = (span * 90) / Math.max(1, width);
  const power = 10 ** Math.floor(Math.log10(Math.max(1, least)));
  return [1, 2, 5, 10].map((factor) => factor * power).find((step) => step >= least);
}

/** The first row of a lane that begins at `ns` or later. */
function after(lane, ns) {
  let low = 0, high = lane.rows.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (rows.at[lane.rows[middle]] < ns) low = middle + 1;
    else high = middle;
  }
  return low;
}

function draw() {
  const canvas = $("canvas");
  if (!canvas || $("view-timeline").hidden) return;
  const ratio = devicePixelRatio || 1;
  const width = canvas.parentElement.clientWidth;
  const height = AXIS + lanes.length * LANE + 6;
  if (canvas.width !== Math.round(width * ratio) || canvas.height !== Math.round(height * ratio)) {
    canvas.width = Math.round(width * ratio);
    canvas.height = Math.round(height * ratio);
    canvas.style.height = `${height}px`;
  }
  const pen = canvas.getContext("2d");
  pen.setTransform(ratio, 0, 0, ratio, 0, 0);
  pen.clearRect(0, 0, width, height);
  const span = view.to - view.from;
  const x = (ns) => LABEL + ((ns - view.from) / span) * (width - LABEL);
  pen.font = "12px system-ui, sans-serif";
  pen.textBaseline = "middle";
  const step = axisStep(span, width - LABEL);
  for (let tick = Math.ceil(view.from / step) * step; tick <= view.to; tick += step) {
    pen.fillStyle = colours.line;
    pen.fillRect(x(tick), AXIS - 6, 1, height - AXIS + 6);
    pen.fillStyle = colours.faint;
    pen.fillText(tick ? duration(Math.round(tick)) : "0", x(tick) + 4, 10);
  }
  pen.save();
  pen.beginPath();
  pen.rect(LABEL, 0, width - LABEL, height);
  pen.clip();
  lanes.forEach((lane, index) => drawLane(pen, lane, AXIS + index * LANE, x));
  pen.restore();
  lanes.forEach((lane, index) => {
    const process = processes[lane.process];
    const name = lane.tid === process.pid ? base(process.program ?? "") : "thread";
    pen.fillStyle = lane.tid === process.pid ? colours.text : colours.faint;
    pen.fillText(`${name} ${lane.tid}`, 6 + Math.min(lane.depth, 6) * 10, AXIS + index * LANE + LANE / 2, LABEL - 14 - Math.min(lane.depth, 6) * 10);
  });
}

function drawLane(pen, lane, top, x) {
  const process = processes[lane.process];
  // The first thread lives as long as its process, another one is seen from its first row to its last.
  const leader = lane.tid === process.pid, last = lane.rows.at(-1);
  const began = x(leader || last === undefined ? process.began_ns : rows.at[lane.rows[0]]);
  const ended = x(leader || last === undefined ? process.ended_ns ?? trace.end_ns : rows.at[last] + rows.took[last]);
  pen.fillStyle = colours.life;
  pen.fillRect(began, top + LANE / 2 - 1, Math.max(1, ended - began), 2);
  let painted = -1, marked = -Infinity;
  // A call that began before the view may reach into it; calls of one thread do not overlap, so it is the one before.
  for (let place = Math.max(0, after(lane, view.from) - 1); place < lane.rows.length; place++) {
    const row = lane.rows[place];
    if (rows.at[row] > view.to) break;
    const left = x(rows.at[row]), right = Math.max(left + 1, x(rows.at[row] + rows.took[row]));
    const kind = rows.kind[row];
    if (kind === SIGNAL || kind === NOTE) {
      // Marks that would cover each other are left out until there is room; those of signals come first.
      if (kind === NOTE && left - marked < 9) continue;
      marked = left;
      pen.fillStyle = kind === SIGNAL ? colours.signal : colours.faint;
      pen.beginPath();
      pen.moveTo(left - 4, top + 1);
      pen.lineTo(left + 4, top + 1);
      pen.lineTo(left, top + 6);
      pen.fill();
      continue;
    }
    // Many calls fall on one pixel: one of them is enough, but a failure is never left out.
    if (right <= painted && kind !== FAILED) continue;
    const name = texts[rows.name[row]];
    pen.fillStyle = kind === FAILED ? colours.failed : colours[family(name)];
    pen.fillRect(left, top + 4, right - left, LANE - 8);
    painted = Math.max(painted, Math.floor(right));
    if (right - left > 40) {
      pen.fillStyle = family(name) === "wait" && kind !== FAILED ? colours.text : colours.ground;
      pen.fillText(name, Math.max(left, LABEL) + 4, top + LANE / 2, right - Math.max(left, LABEL) - 8);
    }
  }
}

function zoom(factor, centre = (view.from + view.to) / 2) {
  const span = Math.min(trace.end_ns || 1, Math.max(200, (view.to - view.from) * factor));
  const share = (centre - view.from) / (view.to - view.from);
  view.from = centre - share * span;
  view.to = view.from + span;
  pan(0);
}

function pan(ns) {
  const span = view.to - view.from;
  view.from = Math.max(0, Math.min((trace.end_ns || 1) - span, view.from + ns));
  view.to = view.from + span;
  requestAnimationFrame(draw);
}

/** What lies under the pointer: a time, and the row there, if any. */
function under(event) {
  const box = $("canvas").getBoundingClientRect();
  const width = box.width - LABEL;
  const ns = view.from + ((event.clientX - box.left - LABEL) / width) * (view.to - view.from);
  const lane = lanes[Math.floor((event.clientY - box.top - AXIS) / LANE)];
  if (!lane || ns < view.from) return { ns, row: -1 };
  const near = (3 / width) * (view.to - view.from);
  const place = after(lane, ns);
  const hit = [place - 1, place].map((at) => lane.rows[at]).find((row) => row !== undefined && rows.at[row] - near <= ns && ns <= rows.at[row] + rows.took[row] + near);
  return { ns, row: hit ?? -1 };
}

function buildTimeline() {
  lanes = makeLanes();
  const button = (text, label, action) => el("button", { type: "button", "aria-label": label, on: { click: action } }, text);
  const keys = { ArrowLeft: () => pan(-(view.to - view.from) / 8), ArrowRight: () => pan((view.to - view.from) / 8), "+": () => zoom(0.6), "-": () => zoom(1.7), 0: () => zoom(1e9) };
  const canvas = el("canvas", { id: "canvas", tabindex: "0", role: "img", "aria-label": `Timeline of ${threads.length} threads over ${duration(trace.end_ns)}. The view Calls has the same as a table.` });
  let drag = null;
  canvas.addEventListener("wheel", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) zoom(event.deltaY > 0 ? 1.25 : 0.8, under(event).ns);
    else if (event.deltaX || event.shiftKey) pan(((event.deltaX || event.deltaY) / canvas.clientWidth) * (view.to - view.from));
    else return;
    event.preventDefault();
  }, { passive: false });
  canvas.addEventListener("pointerdown", (event) => { drag = { x: event.clientX, moved: false }; canvas.setPointerCapture(event.pointerId); });
  canvas.addEventListener("pointermove", (event) => {
    if (drag) {
      drag.moved ||= Math.abs(event.clientX - drag.x) > 3;
      if (drag.moved) { pan(((drag.x - event.clientX) / (canvas.clientWidth - LABEL)) * (view.to - view.from)); drag.x = event.clientX; }
      return;
    }
    const { row } = under(event);
    if (row === hovered) return;
    hovered = row;
    $("hover").textContent = row < 0 ? "" : `${line(row)}${rows.kind[row] <= FAILED ? `  ·  ${duration(rows.took[row])}` : ""}`;
  });
  canvas.addEventListener("pointerup", (event) => {
    const { row } = under(event);
    if (drag && !drag.moved && row >= 0) location.hash = to("calls", { row });
    drag = null;
  });
  canvas.addEventListener("dblclick", (event) => zoom(0.3, under(event).ns));
  canvas.addEventListener("keydown", (event) => { if (keys[event.key]) { keys[event.key](); event.preventDefault(); } });
  const legend = ["file", "network", "process", "memory", "signal", "wait", "other", "failed"].map((name) => el("li", {}, el("i", { class: name }), name));
  $("view-timeline").replaceChildren(
    el("div", { class: "tools" },
      button("−", "Zoom out", keys["-"]), button("+", "Zoom in", keys["+"]), button("All", "Show everything", keys[0]),
      el("ul", { class: "legend" }, ...legend),
      el("span", { class: "hint" }, "drag to move, Ctrl and wheel to zoom, click for the call")),
    el("p", { id: "hover", role: "status" }),
    el("div", { class: "lanes" }, canvas),
    threads.length > LANES ? el("p", { class: "more" }, `${grouped(threads.length - LANES)} more threads have no lane.`) : "");
  addEventListener("resize", draw);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => { readColours(); draw(); });
}

function showTimeline() {
  if (!lanes) { readColours(); buildTimeline(); }
  draw();
}
