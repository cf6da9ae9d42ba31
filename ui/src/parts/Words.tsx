import { Code } from "@mantine/core"

/** A sentence of the product's own in which `code` and *names of things on a screen* are marked. */
export function Words({ children }: { children: string }) {
  const pieces = children.split(/(`[^`]+`|\*[^*]+\*)/)
  return (
    <>
      {pieces.map((piece, at) =>
        /^`[^`]+`$/.test(piece) ? (
          <Code key={at}>{piece.slice(1, -1)}</Code>
        ) : /^\*[^*]+\*$/.test(piece) ? (
          <em key={at}>{piece.slice(1, -1)}</em>
        ) : (
          piece
        ),
      )}
    </>
  )
}
