import { Ollama } from "ollama";
import { answer, follow, silence } from "./told.mjs";

const ai = ({ url, key, headers }) => new Ollama({ host: url, headers: { Authorization: `Bearer ${key}`, ...headers } });

function message({ role, content, tool_calls, name }) {
  const calls = (tool_calls ?? []).map(({ function: f }) => ({
    function: { name: f.name, arguments: JSON.parse(f.arguments) },
  }));
  return {
    role,
    content: content ?? "",
    ...(calls.length ? { tool_calls: calls } : {}),
    ...(role === "tool" ? { tool_name: name } : {}),
  };
}

const asked = ({ ask }) => ({
  model: ask.model,
  messages: ask.messages.map(message),
  options: { num_predict: ask.max_tokens },
  ...(ask.tools.length ? { tools: ask.tools } : {}),
  ...(ask.schema ? { format: ask.schema } : {}),
  ...(ask.think ? { think: true } : {}),
});

function hear(said, frame) {
  said.thinking += frame.message.thinking ?? "";
  if (frame.message.content) {
    said.text += frame.message.content;
    said.pieces += 1;
  }
  said.calls.push(...(frame.message.tool_calls ?? []).map((call) => call.function));
  if (frame.done) {
    said.finish = said.calls.length ? "tool_calls" : frame.done_reason;
    said.tokens = frame.eval_count ?? null;
  }
}

await answer({
  async models(order) {
    return (await ai(order).list()).models.map((model) => model.model);
  },
  async chat(order) {
    const said = silence();
    hear(said, await ai(order).chat(asked(order)));
    return said;
  },
  async stream(order) {
    const stream = await ai(order).chat({ ...asked(order), stream: true });
    return follow(stream, hear, order.leave_after, () => stream.abort());
  },
  async embed(order) {
    return (await ai(order).embed({ model: "embed", input: order.texts })).embeddings;
  },
});
