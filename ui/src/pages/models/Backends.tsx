import { ActionIcon, Autocomplete, Button, Fieldset, Group, Text, VisuallyHidden } from "@mantine/core"
import { IconArrowDown, IconArrowUp, IconPlus, IconX } from "@tabler/icons-react"
import { useRef, useState } from "react"
import { useTranslation } from "react-i18next"

import type { Shape } from "../../api/client"
import { number } from "../../parts/format"
import { Backend } from "./Backend"

interface Props {
  value: string[]
  onChange: (value: string[]) => void
  physical: Shape["PhysicalModel"][]
}

/** The physical models of a name, in order of preference: added by search, moved by buttons (their focus goes along). */
export function Backends({ value, onChange, physical }: Props) {
  const { t } = useTranslation("models")
  const [text, setText] = useState("")
  const [told, tell] = useState("")
  const list = useRef<HTMLOListElement>(null)
  const healthy = new Map(physical.map((each) => [each.name, each.healthy_servers]))
  const known = (name: string) =>
    name.includes("@") ? undefined : (healthy.get(name) ?? healthy.get(`${name}:latest`) ?? 0)

  function add(name: string) {
    const wanted = name.trim()
    if (wanted && !value.includes(wanted)) onChange([...value, wanted])
    setText("")
  }
  function move(from: number, to: number) {
    const next = [...value]
    next.splice(to, 0, ...next.splice(from, 1))
    onChange(next)
    tell(t("form.moved", { name: value[from], place: to + 1, count: value.length }))
    const up = to < from ? to > 0 : to === value.length - 1
    requestAnimationFrame(() =>
      list.current?.children[to]?.querySelector<HTMLButtonElement>(up ? "[data-up]" : "[data-down]")?.focus(),
    )
  }
  function remove(at: number) {
    onChange(value.filter((_, each) => each !== at))
    tell(t("form.removed", { name: value[at] }))
  }

  const options = physical
    .flatMap((each) => {
      const digests = Object.keys(each.digests)
      const pins =
        digests.length > 1 ? digests.map((digest) => `${each.name}@sha256:${digest.slice(0, 12)}`) : []
      return [each.name, ...pins]
    })
    .filter((name) => !value.includes(name))

  return (
    <Fieldset legend={t("form.backends")}>
      <Text size="xs" c="dimmed">
        {t("form.backendsAbout")}
      </Text>
      <ol
        ref={list}
        aria-label={t("form.backends")}
        style={{ listStyle: "none", margin: "8px 0", padding: 0 }}
      >
        {value.map((name, at) => (
          <Group component="li" key={name} justify="space-between" wrap="nowrap" gap="xs" mih={32}>
            <Backend name={name} place={at + 1} healthy={known(name)} />
            <Group gap={2} wrap="nowrap">
              <ActionIcon
                data-up
                aria-label={t("form.up", { name })}
                disabled={at === 0}
                onClick={() => move(at, at - 1)}
              >
                <IconArrowUp size={15} />
              </ActionIcon>
              <ActionIcon
                data-down
                aria-label={t("form.down", { name })}
                disabled={at === value.length - 1}
                onClick={() => move(at, at + 1)}
              >
                <IconArrowDown size={15} />
              </ActionIcon>
              <ActionIcon aria-label={t("form.remove", { name })} onClick={() => remove(at)}>
                <IconX size={15} />
              </ActionIcon>
            </Group>
          </Group>
        ))}
      </ol>
      <Group gap="xs" align="flex-end">
        <Autocomplete
          size="sm"
          flex={1}
          label={t("form.add")}
          placeholder="llama3.2:3b"
          limit={50}
          maxDropdownHeight={220}
          data={options}
          renderOption={({ option }) => (
            <Group justify="space-between" w="100%" wrap="nowrap">
              <Text size="sm" ff="monospace">
                {option.value}
              </Text>
              {healthy.has(option.value) && (
                <Text size="xs" c="dimmed">
                  {number(healthy.get(option.value))}
                </Text>
              )}
            </Group>
          )}
          value={text}
          onChange={setText}
          onOptionSubmit={(name) => {
            add(name)
            setTimeout(() => setText("")) // the field takes the option's text after this
          }}
          onKeyDown={(event) => {
            // a name that no server lists yet may be typed
            if (event.key !== "Enter" || event.defaultPrevented) return
            event.preventDefault()
            add(text)
          }}
        />
        <Button
          size="sm"
          variant="default"
          leftSection={<IconPlus size={15} />}
          disabled={!text.trim()}
          onClick={() => add(text)}
        >
          {t("form.addIt")}
        </Button>
      </Group>
      <VisuallyHidden role="status">{told}</VisuallyHidden>
    </Fieldset>
  )
}
