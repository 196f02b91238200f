// A client made of the OpenAPI document and nothing else: ./desk.ts is generated from it. What came of it goes to standard output.
import createClient from "openapi-fetch";
import type { paths } from "./desk.js";

declare const process: { env: Record<"DESK" | "TOKEN", string> };

const headers = { Authorization: `Bearer ${process.env.TOKEN}` };
const desk = createClient<paths>({ baseUrl: process.env.DESK, headers });

const filed = await desk.POST("/create-ticket", {
  params: { header: { "Idempotency-Key": "the-first-of-this-client" } },
  body: {
    payload: {
      issue_type: "support",
      category: "technical",
      subject: "The order shows the wrong address",
      description: "It is the one from before I moved.",
    },
  },
});
if (!filed.data || !("ticket_number" in filed.data)) throw new Error(JSON.stringify(filed.error));
const ticket = filed.data.ticket_number;

const replied = await desk.POST("/add-message/{ticket}", {
  params: { path: { ticket } },
  body: { body: "Now it is right, but the invoice is not." },
});
const detail = await desk.GET("/list-tickets/{ticket}", { params: { path: { ticket } } });
const list = await desk.GET("/list-tickets", { params: { query: { status: ["open"], limit: 5 } } });

const refused = await desk.POST("/create-ticket", {
  // @ts-expect-error: the document says that a subject is required
  body: { payload: { issue_type: "support", category: "technical", description: "Without a subject." } },
});

console.log(
  JSON.stringify({
    ticket,
    status: replied.data?.status,
    messages: detail.data?.messages.map((message) => message.body),
    listed: list.data?.tickets.map((each) => each.ticket_number),
    refused: { status: refused.response.status, fields: refused.error?.fields.map((field) => field.path) },
  }),
);
