import { Card, Fieldset, SimpleGrid, Stack, Text, Title } from "@mantine/core"
import { type FormEvent, useState } from "react"
import { useTranslation } from "react-i18next"

import { useMay } from "../../app/session"
import { LimitBars, LimitFields, limitsOf, textsOf } from "./limits"
import { SaveRow } from "./SaveRow"
import type { Project } from "./shapes"
import { useSave } from "./useSave"

/** What is used of each limit, and the limits themselves. */
export function LimitsTab({ project }: { project: Project }) {
  const { t } = useTranslation("projects")
  const may = useMay("editor")
  const locked = project.owner === "file"
  const [texts, setTexts] = useState(textsOf(project))
  const { save, error, isPending } = useSave(project)

  function submit(event: FormEvent) {
    event.preventDefault()
    save(limitsOf(texts))
  }

  return (
    <SimpleGrid cols={{ base: 1, md: 2 }} spacing="lg">
      <Card>
        <Title order={2} size="h5" mb="xs">
          {t("limits.usedTitle")}
        </Title>
        {project.limits.length ? (
          <LimitBars figures={project.limits} />
        ) : (
          <Text size="sm" c="dimmed">
            {t("limits.none")}
          </Text>
        )}
      </Card>
      <Card>
        <Title order={2} size="h5" mb="xs">
          {t("limits.title")}
        </Title>
        <form onSubmit={submit}>
          <Stack gap="sm">
            <Text size="sm" c="dimmed">
              {t("limits.about")}
            </Text>
            <Fieldset variant="unstyled" p={0} m={0} disabled={locked || !may} aria-label={t("limits.title")}>
              <LimitFields texts={texts} onChange={setTexts} />
            </Fieldset>
            <SaveRow error={error} busy={isPending} locked={locked} />
          </Stack>
        </form>
      </Card>
    </SimpleGrid>
  )
}
