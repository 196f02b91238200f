// An engineer's session through Linear's official SDK, and its word on a webhook; what came of it goes to standard output.
import { LinearClient } from "@linear/sdk";
import { LinearWebhookClient } from "@linear/sdk/webhooks";

const { URL, KEY, BODY, SIGNATURE, SECRET } = process.env;
const client = new LinearClient({ apiKey: KEY, apiUrl: URL });

const viewer = await client.viewer;
const team = (await client.teams({ filter: { key: { eq: "ENG" } } })).nodes[0];
const states = (await team.states()).nodes;
const label = await (await client.createIssueLabel({ name: "desk", teamId: team.id })).issueLabel;
const payload = await client.createIssue({ teamId: team.id, title: "From the SDK", priority: 2, labelIds: [label.id] });
const issue = await payload.issue;
const conflict = await client.createIssue({ id: issue.id, teamId: team.id, title: "Again" }).catch((error) => error);
const stranger = await new LinearClient({ apiKey: "lin_api_wrong", apiUrl: URL }).viewer.catch((error) => error);

await client.createComment({ issueId: issue.id, body: "First" });
await client.updateIssue(issue.id, { stateId: states.find((state) => state.type === "started").id });
await client.createAttachment({ issueId: issue.id, url: "https://desk.example.com/1", title: "SUP-00001" });

const read = await client.issue(issue.identifier);
const comments = await read.comments();
console.log(
  JSON.stringify({
    viewer: viewer.name,
    identifier: read.identifier,
    state: (await read.state).type,
    labels: (await read.labels()).nodes.map((each) => each.name),
    attachments: (await read.attachments()).nodes.map((each) => each.title),
    comments: comments.nodes.map((comment) => comment.body),
    author: (await comments.nodes[0].user).name,
    listed: (await client.issues({ first: 10 })).nodes.map((each) => each.title),
    conflict: { type: conflict.type, message: conflict.errors[0].message },
    stranger: stranger.type,
    deleted: (await client.deleteIssue(issue.id)).success,
    left: (await client.issues()).nodes.length,
    webhook: new LinearWebhookClient(SECRET).parseData(Buffer.from(BODY), SIGNATURE).type,
  }),
);
