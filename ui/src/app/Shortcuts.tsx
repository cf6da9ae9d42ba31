import { Group, Kbd, Modal, SimpleGrid, Text } from "@mantine/core"
import { useEffect } from "react"
import { useTranslation } from "react-i18next"
import { useNavigate } from "react-router"

import type { Page } from "../pages"

const PATIENCE = 1200 // ms between `g` and the letter

/** `g` and a letter: a page; `/`: the page's search field (`data-search`); `?`: this list. */
export function useShortcuts(pages: Page[], help: () => void) {
  const navigate = useNavigate()
  useEffect(() => {
    let gone = 0
    function pressed(event: KeyboardEvent) {
      const target = event.target as HTMLElement
      const writing = target.isContentEditable || ["INPUT", "TEXTAREA", "SELECT"].includes(target.tagName)
      if (writing || event.ctrlKey || event.metaKey || event.altKey) return
      const page = Date.now() - gone < PATIENCE ? pages.find(({ key }) => key === event.key) : undefined
      gone = event.key === "g" ? Date.now() : 0
      if (page) void navigate(`/${page.id}`)
      else if (event.key === "?") help()
      else if (event.key === "/") {
        const field = document.querySelector<HTMLInputElement>("main [data-search]")
        if (field) {
          event.preventDefault()
          field.focus()
        }
      }
    }
    document.addEventListener("keydown", pressed)
    return () => document.removeEventListener("keydown", pressed)
  }, [pages, navigate, help])
}

export function Shortcuts({
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
