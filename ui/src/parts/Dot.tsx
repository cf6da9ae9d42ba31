import { Box, Group, Text } from "@mantine/core"
import type { ReactNode } from "react"

/** A state: its colour and, always, its word beside it. */
export function Dot({ color, children }: { color: string; children: ReactNode }) {
  return (
    <Group gap={7} wrap="nowrap" component="span" display="inline-flex">
      <Box component="span" w={8} h={8} miw={8} bdrs="xl" bg={color} aria-hidden />
      <Text span inherit style={{ whiteSpace: "nowrap" }}>
        {children}
      </Text>
    </Group>
  )
}
