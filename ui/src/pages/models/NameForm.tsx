import {
  Button,
  Group,
  Modal,
  NumberInput,
  Select,
  Skeleton,
  Stack,
  Textarea,
  TextInput,
} from "@mantine/core"
import { useQueryClient } from "@tanstack/react-query"
import { type FormEvent, useState } from "react"
import { useTranslation } from "react-i18next"

import { api, type Shape, use } from "../../api/client"
import { Problem } from "../../parts/Problem"
import { done } from "../../parts/told"
import { Backends } from "./Backends"
import { changed } from "./changed"
import { Params, type Values } from "./Params"

type Lists = Shape["ModelList"]

/** `what`: the id of a logical name; `new`; or `to:MODEL`, a new one that means this model. */
export function NameForm({ what, onClose }: { what: string; onClose: () => void }) {
  const { t } = useTranslation("models")
  const { data, error } = use.useQuery("get", "/admin/api/models")
  const old = data?.data.find(({ id }) => id === what)
  return (
    <Modal
      opened
      onClose={onClose}
      closeButtonProps={{ "aria-label": t("close", { ns: "shell" }) }}
      size="lg"
      title={old ? t("form.edit", { name: old.name }) : t("form.new")}
      closeOnClickOutside={false}
    >
      {error && <Problem error={error} />}
      {data ? (
        <Form
          lists={data}
          old={old}
          first={what.startsWith("to:") ? [what.slice(3)] : []}
          onClose={onClose}
        />
      ) : (
        !error && <Skeleton h={320} />
      )}
    </Modal>
  )
}

interface FormProps {
  lists: Lists
  old: Shape["ListedModel"] | undefined
  first: string[]
  onClose: () => void
}

function Form({ lists, old, first, onClose }: FormProps) {
  const { t } = useTranslation("models")
  const queries = useQueryClient()
  const projects = use.useQuery("get", "/admin/api/projects")
  const [name, setName] = useState(old?.name ?? "")
  const [project, setProject] = useState(old?.project ?? "")
  const [backend, setBackend] = useState(old?.backend ?? first)
  const [description, setDescription] = useState(old?.description ?? "")
  const [params, setParams] = useState<Values | null>(old?.params ?? {})
  const [input, setInput] = useState<number | string>(old?.price?.input ?? "")
  const [output, setOutput] = useState<number | string>(old?.price?.output ?? "")
  const [busy, setBusy] = useState(false)
  const [error, setError] = useState<unknown>(null)
  const locked = old?.owner === "file"
  const ready = name.trim() !== "" && backend.length > 0 && params !== null && !locked

  async function save(event: FormEvent) {
    event.preventDefault()
    if (!ready) return
    setBusy(true)
    setError(null)
    const price =
      input === "" && output === "" ? null : { input: Number(input) || 0, output: Number(output) || 0 }
    const body = { backend, description, params: params ?? {}, price }
    try {
      if (old)
        await api.PATCH("/admin/api/models/{model_id}", { params: { path: { model_id: old.id } }, body })
      else
        await api.POST("/admin/api/models", {
          body: { name: name.trim(), project: project || null, ...body },
        })
      await changed(queries)
      done(t("form.saved", { name: name.trim() }))
      onClose()
    } catch (problem) {
      setError(problem)
    } finally {
      setBusy(false)
    }
  }

  return (
    <form onSubmit={(event) => void save(event)}>
      <Stack>
        <Group grow align="flex-start">
          <TextInput
            label={t("form.name")}
            description={t(old ? "form.nameKept" : "form.nameAbout")}
            required
            disabled={!!old}
            data-autofocus={old ? undefined : true}
            maxLength={200}
            value={name}
            onChange={(event) => setName(event.currentTarget.value)}
          />
          <Select
            label={t("form.for")}
            description={t("form.forAbout")}
            disabled={!!old}
            allowDeselect={false}
            data={[
              { value: "", label: t("form.all") },
              ...(projects.data?.data.map((each) => ({ value: each.name, label: each.name })) ??
                (project ? [project] : [])),
            ]}
            value={project}
            onChange={(value) => setProject(value ?? "")}
          />
        </Group>
        <Backends value={backend} onChange={setBackend} physical={lists.physical} />
        <Textarea
          label={t("form.description")}
          size="sm"
          autosize
          minRows={1}
          maxRows={5}
          maxLength={2000}
          value={description}
          onChange={(event) => setDescription(event.currentTarget.value)}
        />
        <Params value={old?.params ?? {}} onChange={setParams} />
        <Group grow>
          <NumberInput
            size="sm"
            label={t("form.priceIn")}
            placeholder={t("form.free")}
            min={0}
            value={input}
            onChange={setInput}
          />
          <NumberInput
            size="sm"
            label={t("form.priceOut")}
            placeholder={t("form.free")}
            min={0}
            value={output}
            onChange={setOutput}
          />
        </Group>
        {error != null && <Problem error={error} />}
        <Group justify="flex-end">
          <Button variant="default" onClick={onClose}>
            {t("cancel", { ns: "shell" })}
          </Button>
          <Button type="submit" loading={busy} disabled={!ready}>
            {t("save", { ns: "shell" })}
          </Button>
        </Group>
      </Stack>
    </form>
  )
}
