/** What was chosen on a page, kept under a name in this browser. */
import { ActionIcon, Button, Group, Popover, Stack, Text, TextInput, Tooltip } from "@mantine/core"
import { useDisclosure, useLocalStorage } from "@mantine/hooks"
import { IconBookmark, IconTrash } from "@tabler/icons-react"
import { type FormEvent, useState } from "react"
import { useTranslation } from "react-i18next"
import { Link, useLocation } from "react-router"

interface View {
  name: string
  /** Of the address, what stands behind the `?`. */
  search: string
}

const MOST = 50
const LONGEST = 60

/** `page`: its path. What is open in a drawer (`id`) is not kept. */
export function Views({ page }: { page: string }) {
  const { t } = useTranslation()
  const [views, setViews] = useLocalStorage<View[]>({ key: `llmgw-views-${page}`, defaultValue: [] })
  const [opened, { close, toggle }] = useDisclosure()
  const [name, setName] = useState("")
  const chosen = new URLSearchParams(useLocation().search)
  chosen.delete("id")
  const search = chosen.toString()

  function save(event: FormEvent) {
    event.preventDefault()
    const called = name.trim()
    if (!called) return
    const others = views.filter((view) => view.name !== called)
    setViews([...others, { name: called, search }].slice(-MOST))
    setName("")
  }

  return (
    <Popover position="bottom-end" width={260} trapFocus returnFocus opened={opened} onDismiss={close}>
      <Popover.Target>
        <Tooltip label={t("views.title")}>
          <ActionIcon aria-label={t("views.title")} variant="default" size={30} onClick={toggle}>
            <IconBookmark size={15} />
          </ActionIcon>
        </Tooltip>
      </Popover.Target>
      <Popover.Dropdown aria-label={t("views.title")}>
        <Stack gap="xs">
          {views.length === 0 && (
            <Text size="xs" c="dimmed">
              {t("views.none")}
            </Text>
          )}
          {views.map((view) => (
            <Group key={view.name} gap={4} wrap="nowrap">
              <Button
                component={Link}
                to={`/${page}?${view.search}`}
                onClick={close}
                variant={view.search === search ? "light" : "subtle"}
                aria-current={view.search === search}
                size="compact-sm"
                justify="flex-start"
                flex={1}
                miw={0}
              >
                {view.name}
              </Button>
              <ActionIcon
                aria-label={t("views.delete", { name: view.name })}
                size={24}
                onClick={() => setViews(views.filter((other) => other !== view))}
              >
                <IconTrash size={14} />
              </ActionIcon>
            </Group>
          ))}
          <form onSubmit={save}>
            <Group gap={6} wrap="nowrap">
              <TextInput
                flex={1}
                size="xs"
                aria-label={t("views.name")}
                placeholder={t("views.name")}
                maxLength={LONGEST}
                value={name}
                onChange={(event) => setName(event.currentTarget.value)}
              />
              <Button type="submit" size="xs" disabled={!name.trim()}>
                {t("save")}
              </Button>
            </Group>
          </form>
        </Stack>
      </Popover.Dropdown>
    </Popover>
  )
}
