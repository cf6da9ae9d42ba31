import { Button, Group, Stack, Textarea, TextInput } from "@mantine/core"
import { type FormEvent, useState } from "react"
import { useTranslation } from "react-i18next"
import { useNavigate } from "react-router"

import { Dialog } from "../../parts/Dialog"
import { use } from "../../api/client"
import { Problem } from "../../parts/Problem"
import { done } from "../../parts/told"
import { LimitFields, limitsOf, type LimitTexts } from "./limits"
import { pathOf, useChanged } from "./shapes"
import { Fold } from "../../parts/Fold"

/** Name and, if wished, limits; data policy and models are set on the project's own page, where they are explained. */
export function CreateProject({ onClose }: { onClose: () => void }) {
  const { t } = useTranslation("projects")
  const go = useNavigate()
  const changed = useChanged()
  const [limits, setLimits] = useState<LimitTexts>({})
  const create = use.useMutation("post", "/admin/api/projects", {
    onSuccess: async ({ name }) => {
      await changed()
      done(t("created", { name }))
      void go(pathOf(name, "keys"))
    },
  })

  function submit(event: FormEvent<HTMLFormElement>) {
    event.preventDefault()
    const form = new FormData(event.currentTarget)
    const body = {
      name: String(form.get("name")).trim(),
      description: String(form.get("description")).trim(),
    }
    create.mutate({ body: { ...body, ...limitsOf(limits) } })
  }

  return (
    <Dialog onClose={onClose} title={t("new")} size="md">
      <form onSubmit={submit}>
        <Stack gap="sm">
          <TextInput name="name" label={t("fields.name")} required maxLength={100} data-autofocus />
          <Textarea
            name="description"
            label={t("fields.description")}
            maxLength={2000}
            autosize
            minRows={2}
          />
          <Fold title={t("tabs.limits")}>
            <LimitFields texts={limits} onChange={setLimits} />
          </Fold>
          {create.error && <Problem error={create.error} />}
          <Group justify="flex-end">
            <Button variant="default" onClick={onClose}>
              {t("cancel", { ns: "shell" })}
            </Button>
            <Button type="submit" loading={create.isPending}>
              {t("create", { ns: "shell" })}
            </Button>
          </Group>
        </Stack>
      </form>
    </Dialog>
  )
}
