import { Button, Group, Stack, TextInput } from "@mantine/core"
import { type FormEvent, useState } from "react"
import { useTranslation } from "react-i18next"

import { Dialog } from "../../parts/Dialog"
import { use } from "../../api/client"
import { Fold } from "../../parts/Fold"
import { Problem } from "../../parts/Problem"
import { Expiry } from "./Expiry"
import { LimitFields, limitsOf, type LimitTexts } from "./limits"
import type { Project } from "./shapes"

interface Props {
  project: Project
  onClose: () => void
  onMade: (key: { secret: string; name: string }) => void
}

export function NewKey({ project, onClose, onMade }: Props) {
  const { t } = useTranslation("projects")
  const [expires, setExpires] = useState<string | null>(null)
  const [limits, setLimits] = useState<LimitTexts>({})
  const create = use.useMutation("post", "/admin/api/keys", {
    onSuccess: ({ key, name }) => onMade({ secret: key, name }),
  })

  function submit(event: FormEvent<HTMLFormElement>) {
    event.preventDefault()
    const name = String(new FormData(event.currentTarget).get("name")).trim()
    create.mutate({ body: { project: project.id, name, expires_at: expires, ...limitsOf(limits) } })
  }

  return (
    <Dialog onClose={onClose} title={t("keys.new")}>
      <form onSubmit={submit}>
        <Stack gap="sm">
          <TextInput
            name="name"
            label={t("fields.name")}
            description={t("keys.nameAbout")}
            required
            maxLength={100}
            data-autofocus
          />
          <Expiry label={t("keys.expires")} onChange={setExpires} />
          <Fold title={t("keys.ownLimits")}>
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
