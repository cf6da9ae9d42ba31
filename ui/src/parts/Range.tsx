import { ActionIcon, Button, Group, Menu, Stack, Switch, TextInput, Tooltip } from "@mantine/core"
import { IconCalendar, IconChevronDown, IconRefresh } from "@tabler/icons-react"
import { type FormEvent, useState } from "react"
import { useTranslation } from "react-i18next"

import { absolute, inUtc, setUtc } from "./format"

export const spans = {
  "1h": 3600,
  "6h": 21_600,
  "24h": 86_400,
  "7d": 604_800,
  "30d": 2_592_000,
  "90d": 7_776_000,
} as const

/** `24h`, or two ISO times with `_` between them → what the API takes. Whole minutes, so that answers are reused. */
export function rangeOf(text: string): { since: string; until: string } {
  const [from, to] = text.split("_")
  if (from && to) return { since: from, until: to }
  const now = Math.ceil(Date.now() / 60_000) * 60_000
  const seconds = spans[text as keyof typeof spans] ?? spans["24h"]
  return { since: new Date(now - seconds * 1000).toISOString(), until: new Date(now).toISOString() }
}

interface Props {
  value: string
  onChange: (value: string) => void
  /** Asks the page's figures again. */
  refresh?: () => void
  busy?: boolean
}

/** The span of time that a page shows. */
export function Range({ value, onChange, refresh, busy }: Props) {
  const { t } = useTranslation()
  const [from, to] = value.split("_")
  const [utc, setLocalUtc] = useState(inUtc())
  const label = from && to ? `${absolute(from, false)} – ${absolute(to, false)}` : t(`range.${value}`)

  function custom(event: FormEvent<HTMLFormElement>) {
    event.preventDefault()
    const form = new FormData(event.currentTarget)
    const ends = ["from", "to"].map((name) => new Date(String(form.get(name)) + (utc ? "Z" : "")))
    if (ends.every((end) => !isNaN(end.getTime()))) onChange(ends.map((end) => end.toISOString()).join("_"))
  }

  return (
    <Group gap={4}>
      <Menu position="bottom-end" width={260} closeOnItemClick>
        <Menu.Target>
          <Button
            variant="default"
            leftSection={<IconCalendar size={15} />}
            rightSection={<IconChevronDown size={14} />}
          >
            {label}
          </Button>
        </Menu.Target>
        <Menu.Dropdown>
          {Object.keys(spans).map((span) => (
            <Menu.Item key={span} onClick={() => onChange(span)} aria-current={span === value}>
              {t(`range.${span}`)}
            </Menu.Item>
          ))}
          <Menu.Divider />
          <form onSubmit={custom}>
            <Stack gap="xs" p="xs">
              <TextInput name="from" type="datetime-local" label={t("range.from")} size="xs" required />
              <TextInput name="to" type="datetime-local" label={t("range.to")} size="xs" required />
              <Button type="submit" variant="light">
                {t("range.apply")}
              </Button>
              <Switch
                size="xs"
                label={t("range.utc")}
                checked={utc}
                onChange={(event) => {
                  setUtc(event.currentTarget.checked)
                  setLocalUtc(event.currentTarget.checked)
                }}
              />
            </Stack>
          </form>
        </Menu.Dropdown>
      </Menu>
      {refresh && (
        <Tooltip label={t("refresh")}>
          <ActionIcon aria-label={t("refresh")} onClick={refresh} loading={busy} variant="default" size={30}>
            <IconRefresh size={15} />
          </ActionIcon>
        </Tooltip>
      )}
    </Group>
  )
}
