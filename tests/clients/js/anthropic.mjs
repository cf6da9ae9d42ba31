import Anthropic from "@anthropic-ai/sdk";
import { answer, follow, silence } from "./told.mjs";

const ai = ({ url, key, headers }) =>
  new Anthropic({ baseURL: url, apiKey: key, defaultHeaders: headers, maxRetries: 0 });

const finishes = { end_turn: "stop", stop_sequence: "stop", max_tokens: "length", tool_use: "tool_calls" };

function message(one) {
  if (one.role === "tool") {
    const block = { type: "tool_result", tool_use_id: one.tool_call_id, content: one.content };
    return { role: "user", content: [block] };
  }
  if (!one.tool_calls) return { role: one.role, content: one.content };
  const blocks = one.tool_calls.map(({ id, function: { name, arguments: text } }) => ({
    type: "tool_use",
    id,
    name,
    input: JSON.parse(text),
  }));
  return { role: "assistant", content: blocks };
}

const asked = ({ ask }) => ({
  model: ask.model,
  messages: ask.messages.map(message),
  max_tokens: ask.max_tokens,
  ...(ask.tools.length
    ? {
        tools: ask.tools.map(({ function: { name, description, parameters } }) => ({
          name,
          description,
          input_schema: parameters,
        })),
      }
    : {}),
  ...(ask.schema ? { output_config: { format: { type: "json_schema", schema: ask.schema } } } : {}),
  ...(ask.think ? { thinking: { type: "enabled", budget_tokens: 1024 } } : {}),
});

function whole(said, { content, stop_reason, usage }) {
  for (const block of content) {
    if (block.type === "text") said.text += block.text;
    if (block.type === "thinking") said.thinking += block.thinking;
    if (block.type === "tool_use") said.calls.push({ id: block.id, name: block.name, arguments: block.input });
  }
  said.finish = finishes[stop_reason] ?? null;
  said.tokens = usage.output_tokens;
  return said;
}

await answer({
  async models(order) {
    return (await ai(order).models.list()).data.map((model) => model.id);
  },
  async chat(order) {
    return whole(silence(), await ai(order).messages.create(asked(order)));
  },
  async stream(order) {
    const stream = ai(order).messages.stream(asked(order));
    const hear = (said, event) => {
      if (event.type === "content_block_delta" && event.delta.type === "text_delta") {
        said.text += event.delta.text;
        said.pieces += 1;
      }
    };
    const said = await follow(stream, hear, order.leave_after, () => stream.abort());
    if (said.error || order.leave_after != null) return said;
    return { ...whole(silence(), await stream.finalMessage()), pieces: said.pieces };
  },
});
