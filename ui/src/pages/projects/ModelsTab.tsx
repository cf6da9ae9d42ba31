import { Card, Fieldset, SegmentedControl, Stack, TagsInput, Text, Title } from "@mantine/core"
import { type FormEvent, useState } from "react"
import { useTranslation } from "react-i18next"

import { use } from "../../api/client"
import { useMay } from "../../app/session"
import { Problem } from "../../parts/Problem"
import { MayCall } from "./MayCall"
import { OwnNames } from "./OwnNames"
import { SaveRow } from "./SaveRow"
import type { Project } from "./shapes"
import { useSave } from "./useSave"

/** What the project may ask for, by which names, and whether it would be answered now. */
export function ModelsTab({ project }: { project: Project }) {
  const { t } = useTranslation("projects")
  const locked = project.owner === "file"
  const fixed = !useMay("editor") || locked
  const models = use.useQuery("get", "/admin/api/models", { params: { query: { project: project.id } } })
  const names = [
    ...new Set([...(models.data?.data ?? []), ...(models.data?.physical ?? [])].map(({ name }) => name)),
  ]
  const [some, setSome] = useState(project.allowed_models != null)
  const [allowed, setAllowed] = useState(project.allowed_models ?? [])
  const { save, error, isPending } = useSave(project)

  function submit(event: FormEvent) {
    event.preventDefault()
    save({ allowed_models: some ? allowed : null })
  }

  if (models.error) return <Problem error={models.error} again={() => void models.refetch()} />
  return (
    <Stack gap="lg">
      <MayCall project={project} names={names} />
      <Card>
        <Title order={2} size="h5">
          {t("models.allowed")}
        </Title>
        <Text size="sm" c="dimmed" mb="sm">
          {t("models.allowedAbout")}
        </Text>
        <form onSubmit={submit}>
          <Stack gap="sm" maw={640}>
            <Fieldset variant="unstyled" p={0} m={0} disabled={fixed} aria-label={t("models.allowed")}>
              <SegmentedControl
                aria-label={t("models.allowed")}
                size="xs"
                mb="sm"
                disabled={fixed}
                value={some ? "some" : "all"}
                onChange={(value) => setSome(value === "some")}
                data={[
                  { value: "all", label: t("models.all") },
                  { value: "some", label: t("models.some") },
                ]}
              />
              {some && (
                <TagsInput
                  label={t("models.these")}
                  description={t("models.theseAbout")}
                  value={allowed}
                  onChange={setAllowed}
                  data={names}
                  limit={50}
                  clearable
                  disabled={fixed}
                />
              )}
            </Fieldset>
            <SaveRow error={error} busy={isPending} locked={locked} />
          </Stack>
        </form>
      </Card>
      <OwnNames project={project} models={models.data} />
    </Stack>
  )
}
