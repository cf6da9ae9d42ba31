import "./playground.css"

import { ActionIcon, Button, Drawer, Group, Paper, Textarea, Tooltip } from "@mantine/core"
import { useDisclosure, useMediaQuery } from "@mantine/hooks"
import {
  IconAdjustments,
  IconCode,
  IconColumns,
  IconPlayerStop,
  IconSend,
  IconTrash,
} from "@tabler/icons-react"
import { useEffect, useRef, useState } from "react"
import { useTranslation } from "react-i18next"

import { useMay } from "../../app/session"
import { api, type Shape, use } from "../../api/client"
import { PageHead } from "../../parts/PageHead"
import { Problem } from "../../parts/Problem"
import { failed } from "../../parts/told"
import { useUrl } from "../../parts/url"
import { Code } from "./Code"
import { type Numbers, Options } from "./Options"
import { Pane, type Turn } from "./Pane"
import { ask, type Message } from "./stream"

const MOST_PANES = 4

/** Talk to one model, or to up to four at once, as a project would. */
export default function Playground() {
  const { t } = useTranslation("playground")
  const may = useMay("editor")
  const wide = useMediaQuery("(min-width: 62em)")
  const [url, setUrl] = useUrl({ model: "", project: "", replay: "" })
  const [turns, setTurns] = useState<Turn[][]>([[]])
  const [draft, setDraft] = useState("")
  const [system, setSystem] = useState("")
  const [values, setValues] = useState<Numbers>({})
  const [options, showOptions] = useDisclosure()
  const [code, showCode] = useDisclosure()
  const running = useRef<AbortController | null>(null)
  const [busy, setBusy] = useState(false)
  const [early, setEarly] = useState(false) // sent before it was known as whom and what is asked
  const projects = use.useQuery("get", "/admin/api/projects")
  const models = use.useQuery("get", "/admin/api/models")

  const chosen = url.model.split(",")
  const project = url.project || projects.data?.data.find(({ is_active }) => is_active)?.name || ""
  const logical = models.data?.data.filter((one) => !one.project || one.project === project) ?? []
  const physical = models.data?.physical ?? []
  const names = [...new Set([...logical.map(({ name }) => name), ...physical.map(({ name }) => name)])]
  const firstChoice = logical[0]?.name ?? physical.find((one) => one.healthy_servers)?.name ?? ""
  const panes = chosen.map((name) => name || firstChoice)
  const known = !projects.isPending && !models.isPending
  const ready = project !== "" && panes.every((name) => name !== "")

  useEffect(() => () => running.current?.abort(), [])
  useEffect(() => {
    if (url.replay) void replay(url.replay)
  }, [url.replay])
  useEffect(() => {
    if (early && known) void send()
  }, [early, known])

  async function replay(id: string) {
    try {
      const { data: row } = await api.GET("/admin/api/requests/{request_id}", {
        params: { path: { request_id: id } },
      })
      setUrl({ replay: "", model: row!.model ?? "", project: row!.project ?? "" })
      const { data: kept } = await api.GET("/admin/api/requests/{request_id}/payload", {
        params: { path: { request_id: id } },
      })
      const messages = ((kept!.request as { messages?: Message[] }).messages ?? []).filter(
        ({ content }) => typeof content === "string",
      )
      setSystem(messages.find(({ role }) => role === "system")?.content ?? "")
      setDraft(messages.findLast(({ role }) => role === "user")?.content ?? "")
    } catch (error) {
      failed(error)
    }
  }

  const request = (model: string, past: Turn[], question: string): Shape["Play"] => {
    const messages: Message[] = past.flatMap(({ question: content, said }) => [
      { role: "user", content },
      { role: "assistant", content: said.text },
    ])
    if (system) messages.unshift({ role: "system", content: system })
    return {
      project,
      model,
      messages: [...messages, { role: "user", content: question }] as never,
      ...values,
      stream: true,
    }
  }

  async function send() {
    const question = draft.trim()
    if (!question || busy || !may) return
    setEarly(!known)
    if (!known || !ready) return
    setDraft("")
    setBusy(true)
    running.current = new AbortController()
    const { signal } = running.current
    const before = panes.map((_, at) => turns[at] ?? [])
    setTurns(before.map((past) => [...past, { question, said: { text: "", thought: "", state: "running" } }]))
    await Promise.all(
      panes.map((model, at) =>
        ask(request(model, before[at]!, question), signal, (said) =>
          setTurns((now) =>
            now.map((past, pane) => (pane === at ? [...past.slice(0, -1), { question, said }] : past)),
          ),
        ),
      ),
    )
    setBusy(false)
  }

  const setPane = (at: number, name: string) =>
    setUrl({ model: chosen.map((old, n) => (n === at ? name : old)).join(",") })
  const closePane = (at: number) => {
    setUrl({ model: chosen.filter((_, n) => n !== at).join(",") })
    setTurns(turns.filter((_, n) => n !== at))
  }
  const addPane = () => {
    const next = names.find((name) => !panes.includes(name)) ?? panes[0]!
    setUrl({ model: [...panes, next].join(",") })
    setTurns([...panes.map((_, at) => turns[at] ?? []), []])
  }

  const settings = (
    <Options
      projects={projects.data?.data.map(({ name }) => name) ?? []}
      project={project}
      onProject={(name) => setUrl({ project: name })}
      system={system}
      onSystem={setSystem}
      values={values}
      onValues={setValues}
    />
  )
  const { project: _, ...body } = request(panes[0] ?? "", [], draft || t("example"))
  return (
    <div className="playground">
      <PageHead title={t("title")} about={t("about")}>
        {!wide && (
          <Button variant="default" leftSection={<IconAdjustments size={15} />} onClick={showOptions.open}>
            {t("options")}
          </Button>
        )}
        <Button
          variant="default"
          leftSection={<IconColumns size={15} />}
          onClick={addPane}
          disabled={panes.length >= MOST_PANES || busy}
        >
          {t("compare")}
        </Button>
        <Button variant="default" leftSection={<IconCode size={15} />} onClick={showCode.open}>
          {t("code")}
        </Button>
        <Tooltip label={t("clear")}>
          <ActionIcon
            variant="default"
            size={30}
            aria-label={t("clear")}
            onClick={() => setTurns(panes.map(() => []))}
            disabled={busy}
          >
            <IconTrash size={15} />
          </ActionIcon>
        </Tooltip>
      </PageHead>
      {projects.error && <Problem error={projects.error} />}
      <div className="desk">
        <div className="talk">
          <div className="panes" data-count={panes.length}>
            {panes.map((model, at) => (
              <Pane
                key={at}
                number={at + 1}
                model={model}
                names={names}
                turns={turns[at] ?? []}
                onModel={(name) => setPane(at, name)}
                onClose={panes.length > 1 && !busy ? () => closePane(at) : undefined}
              />
            ))}
          </div>
          <Group align="flex-end" gap="xs" mt="sm" wrap="nowrap">
            <Textarea
              flex={1}
              aria-label={t("message")}
              placeholder={t("placeholder")}
              value={draft}
              onChange={(event) => setDraft(event.currentTarget.value)}
              onKeyDown={(event) => {
                if (event.key === "Enter" && !event.shiftKey && !event.nativeEvent.isComposing) {
                  event.preventDefault()
                  void send()
                }
              }}
              autosize
              minRows={1}
              maxRows={10}
              data-search
            />
            {busy ? (
              <Button
                size="sm"
                color="red"
                variant="light"
                leftSection={<IconPlayerStop size={16} />}
                onClick={() => running.current?.abort()}
              >
                {t("stop")}
              </Button>
            ) : (
              <Tooltip label={t("mayNot")} disabled={may}>
                <Button
                  size="sm"
                  leftSection={<IconSend size={16} />}
                  onClick={() => void send()}
                  data-disabled={!may || undefined}
                  loading={early}
                  disabled={may && (!draft.trim() || !ready)}
                >
                  {t("send")}
                </Button>
              </Tooltip>
            )}
          </Group>
        </div>
        {wide && (
          <Paper withBorder p="md" className="options" component="section" aria-label={t("options")}>
            {settings}
          </Paper>
        )}
      </div>
      <Drawer opened={options && !wide} onClose={showOptions.close} title={t("options")}>
        {settings}
      </Drawer>
      <Code body={body} opened={code} onClose={showCode.close} />
    </div>
  )
}
