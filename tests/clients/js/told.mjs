// One order in (a line of JSON on stdin), one answer out (a line of JSON on stdout).
export async function answer(deeds) {
  const chunks = [];
  for await (const chunk of process.stdin) chunks.push(chunk);
  const order = JSON.parse(Buffer.concat(chunks).toString());
  let told;
  try {
    told = await deeds[order.what](order);
  } catch (error) {
    told = { raised: described(error) };
  }
  process.stdout.write(JSON.stringify(told), () => process.exit(0));
}

export const described = (error) => ({ class: error.constructor.name, message: String(error.message ?? error) });

export const silence = () => ({ text: "", thinking: "", calls: [], finish: null, tokens: null, pieces: 0, error: null });

// Reads a stream with `hear` until it ends, breaks, or has given enough pieces; then `leave` leaves it.
export async function follow(stream, hear, leaveAfter, leave) {
  const said = silence();
  try {
    for await (const part of stream) {
      hear(said, part);
      if (leaveAfter != null && said.pieces >= leaveAfter) {
        leave();
        break;
      }
    }
  } catch (error) {
    if (!said.pieces) throw error;
    said.error = described(error);
  }
  return said;
}
