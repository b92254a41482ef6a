// XState on Node with the charts and events of benches/chart.rs, in nanoseconds an event; the rows
// `loaded/` of `cargo bench --bench chart` are the same charts here.
//
//   npm ci && node chart.mjs            10 rounds of 0.2 s a chart
//   node chart.mjs --round-ms 1000
//   npm ci, then `cargo bench --bench chart` in the library has its rows among its own
//
// Two ways to take an event: `transition`, the pure function, and `actor`, which sends to a started
// actor and so has a mailbox and observers.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { createInterface } from "node:readline";
import { assign, createActor, createMachine, initialTransition, transition } from "xstate";

const count = assign({ count: ({ context }) => context.count + 1 });
const context = { count: 0 };

const flat = {
  id: "m", initial: "a", context, states: {
    a: { on: { GO: { target: "b", guard: ({ context }) => context.count < Number.MAX_SAFE_INTEGER, actions: count } } },
    b: { on: { GO: { target: "a", actions: count } } },
  },
};

const deep = {
  id: "m", initial: "a", context, states: {
    a: { exit: count, initial: "x", states: {
      x: { exit: count, initial: "i", states: {
        i: { on: { GO: { target: "#m.b.y.j", actions: count } } } } } } },
    b: { entry: count, exit: count, initial: "y", states: {
      y: { entry: count, exit: count, initial: "j", states: {
        j: { on: { GO: { target: "#m.a.x.i", actions: [count, count, count] } } } } } } },
  },
};

const region = (n) => ({
  initial: "a", states: {
    a: { on: { ALL: { target: "b", actions: count }, [`ONE${n}`]: { target: "b", actions: count } } },
    b: { on: { ALL: { target: "a", actions: count }, [`ONE${n}`]: { target: "a", actions: count } } },
  },
});
const four = { id: "m", type: "parallel", context, states: { r0: region(0), r1: region(1), r2: region(2), r3: region(3) } };

// The name, the chart, the event, and the actions that two events in a row run.
const charts = [
  ["flat", flat, "GO", 2],
  ["levels=3/actions=5", deep, "GO", 10],
  ["regions=4/moving=1", four, "ONE2", 2],
  ["regions=4/moving=4", four, "ALL", 8],
];

// `--serve`: for each line `CHART WAY EVENTS` the nanoseconds that they took.
if (process.argv.includes("--serve")) {
  const machines = new Map(charts.map(([name, config, type]) => [name, { ways: ways(config), event: { type }, warm: new Set() }]));
  for await (const line of createInterface({ input: process.stdin })) {
    const [name, way, events] = line.split(" ");
    const { ways: { [way]: { go } }, event, warm } = machines.get(name);
    if (!warm.has(way)) {
      for (let n = 0; n < 20_000; n += 1) go(event);
      warm.add(way);
    }
    const began = process.hrtime.bigint();
    for (let n = Number(events); n > 0; n -= 1) go(event);
    console.log(String(process.hrtime.bigint() - began));
  }
  process.exit(0);
}

const asked = process.argv.indexOf("--round-ms");
const roundMs = asked < 0 ? 200 : Number(process.argv[asked + 1]);
if (!(roundMs > 0)) throw new Error("--round-ms: expected milliseconds above 0");
const rounds = 10;

function ways(config) {
  const machine = createMachine(config);
  let [state] = initialTransition(machine);
  const actor = createActor(machine);
  actor.start();
  return {
    transition: { go: (event) => { [state] = transition(machine, state, event); }, counted: () => state.context.count },
    actor: { go: (event) => actor.send(event), counted: () => actor.getSnapshot().context.count },
  };
}

function measure(go, event) {
  const batch = 1000;
  const began = process.hrtime.bigint();
  const until = began + BigInt(roundMs) * 1_000_000n;
  let events = 0;
  let now = began;
  while (now < until) {
    for (let n = 0; n < batch; n += 1) go(event);
    events += batch;
    now = process.hrtime.bigint();
  }
  return { events, ns: Number(now - began) / events };
}

const { version } = JSON.parse(readFileSync(createRequire(import.meta.url).resolve("xstate/package.json"), "utf8"));
console.log(`xstate ${version}, node ${process.versions.node}; ns an event: median (least to most of ${rounds} rounds)`);
for (const [name, config, type, twice] of charts) {
  for (const [way, { go, counted }] of Object.entries(ways(config))) {
    const event = { type };
    let events = measure(go, event).events; // warms up
    const all = [];
    for (let round = 0; round < rounds; round += 1) {
      const one = measure(go, event);
      events += one.events;
      all.push(one.ns);
    }
    const expected = (events / 2) * twice; // rounds have an even number of events
    if (counted() !== expected) throw new Error(`${name}, ${way}: ${counted()} actions ran, expected ${expected}`);
    all.sort((a, b) => a - b);
    const median = (all[rounds / 2 - 1] + all[rounds / 2]) / 2;
    console.log(`xstate/${way}/${name}: ${median.toFixed(0)} (${all[0].toFixed(0)} to ${all[rounds - 1].toFixed(0)}), ${(1e3 / median).toFixed(3)} M events/s`);
  }
}
