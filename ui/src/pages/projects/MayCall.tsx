import {
  Autocomplete,
  Button,
  Card,
  Checkbox,
  Group,
  List,
  Select,
  Text,
  ThemeIcon,
  Title,
} from "@mantine/core"
import { useDisclosure } from "@mantine/hooks"
import { IconAlertTriangle, IconCheck, IconX } from "@tabler/icons-react"
import { type FormEvent, type ReactNode, useState } from "react"
import { useTranslation } from "react-i18next"

import { ApiError, type Shape, use } from "../../api/client"
import { say } from "../../parts/said"
import { useUrl } from "../../parts/url"
import { Words } from "../../parts/Words"
import { type Figure, type Key, type Project, share } from "./shapes"

type Verdict = "yes" | "maybe" | "no"
const marks = { yes: IconCheck, maybe: IconAlertTriangle, no: IconX }
const colours = { yes: "teal", maybe: "yellow", no: "red" }

interface Props {
  project: Project
  names: string[]
}

/** “Would this key be allowed to call X now?”: everything that a request has to pass, in its order. */
export function MayCall({ project, names }: Props) {
  const { t } = useTranslation("projects")
  const [url, setUrl] = useUrl({ key: "", call: "", tools: "" })
  const [typed, setTyped] = useState(url.call)
  const [choosing, choose] = useDisclosure()
  const keys = use.useQuery(
    "get",
    "/admin/api/keys",
    { params: { query: { project: project.id } } },
    { enabled: choosing || !!url.key },
  )
  const key = keys.data?.data.find(({ id }) => id === url.key)
  const used = use.useQuery(
    "get",
    "/admin/api/keys/{key_id}/limits",
    { params: { path: { key_id: url.key } } },
    { enabled: !!key && !!url.call },
  )
  const explained = use.useQuery(
    "get",
    "/admin/api/models/{name}/explain",
    {
      params: {
        path: { name: url.call },
        query: { project: project.id, need: url.tools ? ["tools"] : undefined },
      },
    },
    { enabled: !!url.call, staleTime: 0, retry: false },
  )

  function ask(event: FormEvent) {
    event.preventDefault()
    if (typed.trim() === url.call) void explained.refetch()
    setUrl({ call: typed.trim() })
  }

  return (
    <Card>
      <Title order={2} size="h5">
        {t("mayCall.title")}
      </Title>
      <Text size="sm" c="dimmed" mb="sm">
        {t("mayCall.about")}
      </Text>
      <form onSubmit={ask}>
        <Group align="flex-end" gap="sm">
          <Select
            label={t("mayCall.key")}
            placeholder={t("mayCall.anyKey")}
            value={url.key || null}
            onChange={(value) => setUrl({ key: value ?? "" })}
            data={(keys.data?.data ?? []).map((each) => ({
              value: each.id,
              label: `${each.name} · …${each.last4}`,
            }))}
            onDropdownOpen={choose.open}
            clearable
            w={220}
          />
          <Autocomplete
            size="sm"
            label={t("mayCall.model")}
            value={typed}
            onChange={setTyped}
            data={names}
            limit={30}
            required
            w={240}
          />
          <Checkbox
            label={t("mayCall.tools")}
            checked={!!url.tools}
            onChange={(event) => setUrl({ tools: event.currentTarget.checked ? "1" : "" })}
            pb={8}
          />
          <Button type="submit" size="sm" variant="light" loading={explained.isFetching}>
            {t("mayCall.ask")}
          </Button>
        </Group>
      </form>
      {url.call && !explained.isFetching && (explained.data || explained.error) && (
        <Answer
          project={project}
          asKey={key}
          used={used.data?.data ?? []}
          explained={explained.data}
          error={explained.error as unknown as ApiError | null}
        />
      )}
    </Card>
  )
}

interface Found {
  project: Project
  asKey: Key | undefined
  used: Figure[]
  explained: Shape["Explained"] | undefined
  error: ApiError | null
}

function Answer({ project, asKey, used, explained, error }: Found) {
  const { t } = useTranslation("projects")
  const full = (figures: Figure[]) => figures.filter((figure) => share(figure) >= 1)
  const limits = (figures: Figure[]) =>
    full(figures)
      .map(({ name }) => t(`limits.${name}`))
      .join(", ")
  const steps: [Verdict, ReactNode][] = [
    project.is_active ? ["yes", t("mayCall.active")] : ["no", t("mayCall.paused")],
  ]
  if (asKey)
    steps.push(
      asKey.state === "active"
        ? ["yes", t("mayCall.keyActive", { name: asKey.name })]
        : ["no", t(`mayCall.${asKey.state}`, { name: asKey.name })],
    )
  const spent = limits(project.limits) || limits(used)
  steps.push(spent ? ["no", t("mayCall.full", { limits: spent })] : ["yes", t("mayCall.room")])
  if (error) steps.push(["no", <Words key="error">{error.message}</Words>])
  if (explained) {
    steps.push(["yes", t("mayCall.allowed", { name: explained.name })])
    const serves: Verdict =
      explained.outcome === "serves"
        ? "yes"
        : ["waits", "tries_resting"].includes(explained.outcome)
          ? "maybe"
          : "no"
    steps.push([
      serves,
      <span key="outcome">
        <Words>{explained.conclusion_said.map(say).join(" ")}</Words>
        {explained.advice_said && (
          <Text size="sm" c="dimmed">
            <Words>{say(explained.advice_said)}</Words>
          </Text>
        )}
      </span>,
    ])
  }
  const verdicts = steps.map(([verdict]) => verdict)
  const whole: Verdict = verdicts.includes("no") ? "no" : verdicts.includes("maybe") ? "maybe" : "yes"
  return (
    <div role="status">
      <Text fw={600} mt="md" mb="xs" size="sm">
        {t(`mayCall.${whole}`)}
      </Text>
      <List spacing={6} size="sm" pl={0}>
        {steps.map(([verdict, text], at) => {
          const Mark = marks[verdict]
          return (
            <List.Item
              key={at}
              icon={
                <ThemeIcon
                  size={18}
                  radius="xl"
                  color={colours[verdict]}
                  variant="light"
                  aria-label={verdict}
                >
                  <Mark size={12} />
                </ThemeIcon>
              }
            >
              {text}
            </List.Item>
          )
        })}
      </List>
    </div>
  )
}
