import { Group, Text } from "@mantine/core"
import { IconAlertTriangle } from "@tabler/icons-react"
import { useTranslation } from "react-i18next"

import { Dot } from "../../parts/Dot"

/** One physical model of a logical name: its place, and how many healthy servers hold it (absent: not known). */
export function Backend({ name, place, healthy }: { name: string; place: number; healthy?: number }) {
  const { t } = useTranslation("models")
  return (
    <Group gap={8} wrap="nowrap">
      <Text size="xs" c="dimmed" className="numbers" w={12} ta="right">
        {place}
      </Text>
      <Text size="sm" ff="monospace" style={{ overflowWrap: "break-word" }}>
        {name}
      </Text>
      {healthy !== undefined && (
        <Text size="xs" component="span" c={healthy ? "dimmed" : undefined}>
          {healthy ? (
            <Dot color="teal">{t("servers", { count: healthy })}</Dot>
          ) : (
            <Group gap={4} wrap="nowrap" component="span" display="inline-flex">
              <IconAlertTriangle size={14} color="var(--mantine-color-orange-6)" aria-hidden />
              {t("nobody")}
            </Group>
          )}
        </Text>
      )}
    </Group>
  )
}
