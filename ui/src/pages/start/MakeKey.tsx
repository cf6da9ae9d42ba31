import { Autocomplete, Button, Group, Text } from "@mantine/core"
import { type FormEvent, useState } from "react"
import { useTranslation } from "react-i18next"

import { api } from "../../api/client"
import { Gate } from "../../parts/Gate"
import { Problem } from "../../parts/Problem"
import { useChanged, useProjects } from "../projects/shapes"
import type { Fresh } from "./shapes"

/** A project, new or already there, and a key of it. */
export function MakeKey({ onMade }: { onMade: (key: Fresh) => void }) {
  const { t } = useTranslation("start")
  const changed = useChanged()
  const projects = useProjects()
  const [project, setProject] = useState("")
  const [busy, setBusy] = useState(false)
  const [error, setError] = useState<unknown>(null)
  const active = projects.data?.data.filter(({ is_active }) => is_active).map(({ name }) => name) ?? []

  async function make(event: FormEvent) {
    event.preventDefault()
    const name = project.trim()
    setBusy(true)
    setError(null)
    try {
      if (!projects.data?.data.some((each) => each.name === name))
        await api.POST("/admin/api/projects", { body: { name } })
      const { data } = await api.POST("/admin/api/keys", { body: { project: name, name: t("key.name") } })
      onMade({ id: data!.id, project: name, secret: data!.key })
    } catch (problem) {
      setError(problem)
    } finally {
      setBusy(false)
      void changed()
    }
  }

  return (
    <form onSubmit={(event) => void make(event)}>
      <Text size="sm" c="dimmed" mt={4} mb="xs">
        {t("key.about")}
      </Text>
      <Group align="flex-end" gap="sm" mb={error ? "sm" : 0}>
        <Autocomplete
          size="sm"
          label={t("key.project")}
          placeholder={t("key.placeholder")}
          data={active}
          limit={20}
          value={project}
          onChange={setProject}
          maxLength={100}
          required
          w={280}
        />
        <Gate>
          {(disabled) => (
            <Button type="submit" size="sm" loading={busy} disabled={disabled}>
              {t(active.includes(project.trim()) ? "key.make" : "key.makeBoth")}
            </Button>
          )}
        </Gate>
      </Group>
      {error != null && <Problem error={error} />}
    </form>
  )
}
