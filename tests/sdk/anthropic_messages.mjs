// The `@anthropic-ai/sdk` SDK against whatever `ANTHROPIC_BASE_URL` says.

import Anthropic from "@anthropic-ai/sdk";
import { MESSAGES, SCHEMA, helped, named, tell } from "./transcript.mjs";

const TOOLS = ["read_file", "delete_file"].map((name) => ({ name, input_schema: SCHEMA }));

const EVENTS = ["streamEvent", "text", "citation", "inputJson", "thinking", "signature", "contentBlock", "message"];

const ask = { model: "claude-haiku-4-5", max_tokens: 256, messages: MESSAGES, tools: TOOLS };

/** The helper that calls the tools and asks again, streamed. */
async function loop(client, name) {
  const called = [];
  const run = (tool, input) => {
    called.push([tool, input]);
    return "It rains.";
  };
  const tools = TOOLS.map((tool) => ({ ...tool, parse: (input) => input, run: (input) => run(tool.name, input) }));
  const runner = client.beta.messages.toolRunner({ ...ask, tools, stream: true }, named(name));
  const turns = [];
  for await (const stream of runner) {
    turns.push(await helped(stream, EVENTS, () => stream.finalMessage()));
  }
  return { called, messages: runner.params.messages, turns, final: turns.at(-1).final };
}

await tell({
  client: (options) => new Anthropic(options),
  whole: (client, name) => client.messages.create(ask, named(name)),
  iterated: (client, name) => client.messages.create({ ...ask, stream: true }, named(name)),
  helped: (client, name) =>
    helped(client.messages.stream(ask, named(name)), EVENTS, (stream) => stream.finalMessage()),
  loop,
});
