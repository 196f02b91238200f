// Loads one address with requests that differ, each connection sending its own share of them in turn. Takes on standard
// input {url, connections, seconds, requests: [{method, path, headers, body}]}, answers {sent, seconds, errors, statuses,
// milliseconds: {p50, p99}}. The connections share the requests out between them, so that no two ask as the same person.
import { text } from "node:stream/consumers";
import autocannon from "autocannon";

const { url, connections, seconds, requests } = JSON.parse(await text(process.stdin));
const latencies = [];
const statuses = {};
let dealt = 0;

const load = autocannon(
  {
    url,
    connections,
    duration: seconds,
    timeout: 30,
    setupClient: (client) => {
      const first = dealt++;
      client.setRequests(requests.filter((_, index) => index % connections === first % connections));
    },
  },
  (failure, result) => {
    if (failure) throw failure;
    latencies.sort((a, b) => a - b);
    const percentile = (part) => latencies[Math.min(latencies.length - 1, Math.floor(part * latencies.length))];
    const milliseconds = { p50: percentile(0.5), p99: percentile(0.99) };
    const errors = result.errors + result.timeouts;
    console.log(JSON.stringify({ sent: latencies.length, seconds: result.duration, errors, statuses, milliseconds }));
  },
);
load.on("response", (client, status, bytes, milliseconds) => {
  latencies.push(milliseconds);
  statuses[status] = (statuses[status] ?? 0) + 1;
});
