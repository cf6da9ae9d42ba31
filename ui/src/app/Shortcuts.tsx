import { Group, Kbd, Modal, SimpleGrid, Text } from "@mantine/core"
import { useTranslation } from "react-i18next"

import type { Page } from "../pages"

/** The keys that there are, by `?`. */
export default function Shortcuts({
  pages,
  opened,
  onClose,
}: {
  pages: Page[]
  opened: boolean
  onClose: () => void
}) {
  const { t } = useTranslation()
  const line = (keys: string[], text: string) => (
    <Group key={text} justify="space-between" wrap="nowrap">
      <Text size="sm">{text}</Text>
      <Group gap={4} wrap="nowrap">
        {keys.map((key) => (
          <Kbd key={key}>{key}</Kbd>
        ))}
      </Group>
    </Group>
  )
  return (
    <Modal opened={opened} onClose={onClose} title={t("help.title")} size="lg">
      <SimpleGrid cols={{ base: 1, sm: 2 }} spacing="xl" verticalSpacing="xs">
        {line(["Ctrl", "K"], t("commands.open"))}
        {line(["/"], t("help.search"))}
        {line(["?"], t("help.title"))}
        {line(["Esc"], t("help.close"))}
        {pages.map(({ id, key }) => line(["g", key], t("title", { ns: id })))}
      </SimpleGrid>
    </Modal>
  )
}
