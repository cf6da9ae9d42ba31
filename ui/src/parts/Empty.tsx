import { Stack, Text, ThemeIcon, Title } from "@mantine/core"
import type { ComponentType, ReactNode } from "react"

interface Props {
  icon: ComponentType<{ size?: number; stroke?: number }>
  title: string
  text: ReactNode
  /** What to do next: one button. */
  children?: ReactNode
}

/** Nothing is there yet: why, and what to do next. */
export function Empty({ icon: Icon, title, text, children }: Props) {
  return (
    <Stack align="center" py={56} gap="xs" ta="center">
      <ThemeIcon variant="light" size={44} radius="xl" color="gray">
        <Icon size={22} stroke={1.6} />
      </ThemeIcon>
      <Title order={2} size="h5">
        {title}
      </Title>
      <Text c="dimmed" size="sm" maw={440}>
        {text}
      </Text>
      {children}
    </Stack>
  )
}
