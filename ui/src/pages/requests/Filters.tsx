import {
  ActionIcon,
  Autocomplete,
  Button,
  Group,
  NumberInput,
  Pill,
  Popover,
  SegmentedControl,
  Select,
  SimpleGrid,
  TextInput,
  VisuallyHidden,
} from "@mantine/core"
import { useDisclosure } from "@mantine/hooks"
import { IconFilter, IconSearch, IconX } from "@tabler/icons-react"
import { type FormEvent, type KeyboardEvent, type ReactNode, useEffect, useState } from "react"
import { useTranslation } from "react-i18next"

import { use } from "../../api/client"
import { choices, chosen, type Name, type Row, searched, type Values } from "./filters"
import css from "./requests.module.css"

interface Props {
  values: Values
  set: (changes: Partial<Values>) => void
  /** What is shown now: what it holds is offered. */
  rows: Row[]
  children?: ReactNode
}

const ENDPOINTS = [
  ...["/v1/chat/completions", "/v1/responses", "/v1/messages", "/v1/completions", "/v1/embeddings"],
  ...["/v1/chat", "/v1/chat/stream", "/api/chat", "/api/generate", "/api/embed"],
]

/** The search field, all or only failed ones, the rest behind one button; what is chosen stands below. */
export function Filters({ values, set, rows, children }: Props) {
  const { t } = useTranslation("requests")
  const active = chosen(values)
  const inside = active.filter((name) => name !== "failed" && !(searched as readonly string[]).includes(name))
  const [opened, { toggle, close }] = useDisclosure()
  return (
    <>
      <Group gap="xs" mb="sm">
        <Search values={values} set={set} />
        <SegmentedControl
          aria-label={t("filters.failed")}
          value={values.failed}
          onChange={(failed) => set({ failed })}
          size="xs"
          data={[
            { value: "", label: t("filters.all") },
            { value: "false", label: t("filters.succeeded") },
            { value: "true", label: t("filters.failedOnes") },
          ]}
        />
        <Popover opened={opened} onChange={close} position="bottom-start" trapFocus returnFocus withinPortal>
          <Popover.Target>
            <Button
              variant="default"
              leftSection={<IconFilter size={15} />}
              onClick={toggle}
              aria-expanded={opened}
              aria-haspopup="dialog"
            >
              {inside.length ? t("filters.some", { count: inside.length }) : t("filters.title")}
            </Button>
          </Popover.Target>
          <Popover.Dropdown aria-label={t("filters.title")}>
            {opened && <Fields {...{ values, set, rows }} />}
          </Popover.Dropdown>
        </Popover>
        {children}
      </Group>
      {active.length > 0 && <Chosen {...{ values, set, active }} />}
    </>
  )
}

/** By id: which one, and what it is. Asked on Enter, or when the field is left. */
function Search({ values, set }: Pick<Props, "values" | "set">) {
  const { t } = useTranslation("requests")
  const [by, setBy] = useState<string>(searched.find((name) => values[name]) ?? "request_id")
  const asked = values[by as Name]
  const [text, setText] = useState(asked)
  useEffect(() => setText(asked), [asked])

  const none = Object.fromEntries(searched.map((name) => [name, ""]))
  const search = (name: string, value: string) => set({ ...none, [name]: value.trim() })
  return (
    <Group gap={0} wrap="nowrap" role="search">
      <Select
        aria-label={t("search.by")}
        data={searched.map((value) => ({ value, label: t(`names.${value}`) }))}
        value={by}
        onChange={(value) => {
          setBy(value ?? "request_id")
          if (text) search(value ?? "request_id", text)
        }}
        allowDeselect={false}
        size="xs"
        w={150}
      />
      <TextInput
        data-search
        aria-label={t("search.title")}
        placeholder={t("search.placeholder")}
        size="xs"
        w={{ base: 190, sm: 260 }}
        leftSection={<IconSearch size={14} />}
        value={text}
        onChange={(event) => setText(event.currentTarget.value)}
        onKeyDown={(event: KeyboardEvent<HTMLInputElement>) => event.key === "Enter" && search(by, text)}
        onBlur={() => text.trim() !== asked && search(by, text)}
        rightSection={
          text && (
            <ActionIcon size="sm" aria-label={t("search.clear")} onClick={() => search(by, "")}>
              <IconX size={13} />
            </ActionIcon>
          )
        }
      />
    </Group>
  )
}

/** Names to choose from are asked for when this opens. */
function Fields({ values, set, rows }: Omit<Props, "children">) {
  const { t } = useTranslation("requests")
  const projects = use.useQuery("get", "/admin/api/projects")
  const models = use.useQuery("get", "/admin/api/models")
  const servers = use.useQuery("get", "/admin/api/servers")
  const seen = (name: keyof Row) => [
    ...new Set(rows.map((row) => row[name]).filter((value): value is string => typeof value === "string")),
  ]
  const pick = (name: Name, data: { value: string; label: string }[]) => (
    <Select
      size="xs"
      label={t(`names.${name}`)}
      placeholder={t("filters.any")}
      data={data}
      value={values[name] || null}
      onChange={(value) => set({ [name]: value ?? "" })}
      searchable
      clearable
      openOnFocus={false}
      comboboxProps={{ withinPortal: false }}
    />
  )
  const write = (name: Name, data: string[]) => (
    <Autocomplete
      key={`${name}=${values[name]}`}
      size="xs"
      label={t(`names.${name}`)}
      placeholder={t("filters.any")}
      data={[...new Set(data)].sort()}
      limit={40}
      defaultValue={values[name]}
      onOptionSubmit={(value) => set({ [name]: value })}
      onBlur={(event) =>
        event.currentTarget.value !== values[name] && set({ [name]: event.currentTarget.value })
      }
      onKeyDown={(event) => event.key === "Enter" && set({ [name]: event.currentTarget.value })}
      comboboxProps={{ withinPortal: false }}
      clearable
      onClear={() => set({ [name]: "" })}
    />
  )
  const amount = (name: Name) => (
    <NumberInput
      key={`${name}=${values[name]}`}
      size="xs"
      label={t(`names.${name}`)}
      placeholder={t("filters.any")}
      defaultValue={values[name]}
      min={name === "status" ? 100 : 0}
      max={name === "status" ? 599 : undefined}
      hideControls
      onBlur={(event) =>
        event.currentTarget.value !== values[name] && set({ [name]: event.currentTarget.value })
      }
      onKeyDown={(event) => event.key === "Enter" && set({ [name]: event.currentTarget.value })}
    />
  )
  const of = (name: keyof typeof choices, at: string) =>
    pick(
      name,
      choices[name].map((value) => ({ value, label: t(`${at}.${value}`) })),
    )
  const logical = models.data?.data.map((model) => model.name) ?? []
  return (
    <form onSubmit={(event: FormEvent) => event.preventDefault()}>
      <SimpleGrid cols={{ base: 1, xs: 2 }} spacing="sm" verticalSpacing="xs" maw={440}>
        {pick("project", projects.data?.data.map(({ name }) => ({ value: name, label: name })) ?? [])}
        {pick("server_id", servers.data?.data.map(({ id, name }) => ({ value: id, label: name })) ?? [])}
        {write("model", [...logical, ...seen("model")])}
        {write("backend_model", seen("backend_model"))}
        {write("endpoint", [...ENDPOINTS, ...seen("endpoint")])}
        {of("tier", "tiers")}
        {of("status_class", "classes")}
        {amount("status")}
        {of("outcome", "outcomes")}
        {write("error_code", seen("error_code"))}
        {amount("min_latency_ms")}
        {amount("max_latency_ms")}
        {of("stream", "streams")}
      </SimpleGrid>
    </form>
  )
}

/** What is chosen, each to be taken away again. */
function Chosen({ values, set, active }: Pick<Props, "values" | "set"> & { active: Name[] }) {
  const { t } = useTranslation("requests")
  const servers = use.useQuery(
    "get",
    "/admin/api/servers",
    {},
    { enabled: !!values.server_id, staleTime: Infinity },
  )
  const labels: Partial<Record<Name, string>> = {
    status_class: "classes",
    outcome: "outcomes",
    stream: "streams",
    tier: "tiers",
  }
  function said(name: Name): string {
    const value = values[name]
    if (name === "failed") return t(value === "true" ? "filters.failedOnes" : "filters.succeeded")
    if (name === "server_id") return servers.data?.data.find(({ id }) => id === value)?.name ?? value
    const place = labels[name]
    const text = place ? t(`${place}.${value}`, { defaultValue: value }) : value
    return `${text}${name.endsWith("_ms") ? " ms" : ""}`
  }
  return (
    <Group gap={6} mb="sm">
      <VisuallyHidden>{t("filters.chosen")}</VisuallyHidden>
      {active.map((name) => (
        <Pill
          key={name}
          className={css.pill}
          withRemoveButton
          removeButtonProps={{
            "aria-label": t("filters.without", { name: t(`names.${name}`) }),
            tabIndex: 0,
            "aria-hidden": false,
          }}
          onRemove={() => set({ [name]: "" })}
        >
          {t(`names.${name}`)}: {said(name)}
        </Pill>
      ))}
      <Button
        variant="subtle"
        size="compact-xs"
        onClick={() => set(Object.fromEntries(active.map((name) => [name, ""])))}
      >
        {t("filters.clear")}
      </Button>
    </Group>
  )
}
