import {
  Alert,
  Card,
  Checkbox,
  Fieldset,
  NumberInput,
  Stack,
  Switch,
  Text,
  Textarea,
  Title,
} from "@mantine/core"
import { IconWorld } from "@tabler/icons-react"
import { type FormEvent, useState } from "react"
import { useTranslation } from "react-i18next"

import { useMay } from "../../app/session"
import { classes } from "./badges"
import { Consent } from "./Consent"
import { SaveRow } from "./SaveRow"
import type { Changes, Project, Trust } from "./shapes"
import { useSave } from "./useSave"

/** Who may see the project's prompts, and what is kept of them. */
export function PolicyTab({ project }: { project: Project }) {
  const { t } = useTranslation("projects")
  const locked = project.owner === "file"
  const fixed = !useMay("editor") || locked
  const [trust, setTrust] = useState<Trust[]>(project.trust)
  const [tools, setTools] = useState(project.public_tools)
  const [store, setStore] = useState(project.store_payloads)
  const [days, setDays] = useState<number | string>(project.payload_days ?? "")
  const [redact, setRedact] = useState(project.redact.join("\n"))
  const [asking, setAsking] = useState(false)
  const { save, error, isPending } = useSave(project, () => setAsking(false))
  const opens = trust.includes("public") && !project.trust.includes("public")

  const changes = (): Changes => ({
    trust,
    public_tools: tools && trust.includes("public"),
    store_payloads: store,
    payload_days: days === "" ? null : Number(days),
    redact: redact.split("\n").filter(Boolean),
  })
  function submit(event: FormEvent) {
    event.preventDefault()
    if (opens) setAsking(true)
    else save(changes())
  }

  return (
    <form onSubmit={submit}>
      <Stack gap="lg" maw={760}>
        <Card>
          <Title order={2} size="h5">
            {t("policy.trust")}
          </Title>
          <Text size="sm" c="dimmed" mb="sm">
            {t("policy.trustAbout")}
          </Text>
          <Fieldset variant="unstyled" p={0} m={0} disabled={fixed} aria-label={t("policy.trust")}>
            <Checkbox.Group value={trust} onChange={(value) => setTrust(value as Trust[])}>
              <Stack gap="xs">
                {classes.map((each) => (
                  <Checkbox
                    key={each}
                    value={each}
                    label={t(`trust.${each}.name`)}
                    description={t(`trust.${each}.about`)}
                  />
                ))}
              </Stack>
            </Checkbox.Group>
            {trust.length === 0 && (
              <Text size="sm" c="red" mt="xs">
                {t("policy.nobody")}
              </Text>
            )}
            {trust.includes("public") && (
              <Alert color="orange" icon={<IconWorld />} mt="sm" p="xs">
                {t("consent.short")}
              </Alert>
            )}
            <Switch
              mt="md"
              label={t("policy.tools")}
              description={t("policy.toolsAbout")}
              checked={tools && trust.includes("public")}
              disabled={fixed || !trust.includes("public")}
              onChange={(event) => setTools(event.currentTarget.checked)}
            />
          </Fieldset>
        </Card>
        <Card>
          <Title order={2} size="h5">
            {t("policy.kept")}
          </Title>
          <Text size="sm" c="dimmed" mb="sm">
            {t("policy.keptAbout")}
          </Text>
          <Fieldset variant="unstyled" p={0} m={0} disabled={fixed} aria-label={t("policy.kept")}>
            <Stack gap="sm">
              <Switch
                label={t("policy.store")}
                checked={store}
                onChange={(event) => setStore(event.currentTarget.checked)}
              />
              <NumberInput
                size="sm"
                maw={260}
                label={t("policy.days")}
                description={t("policy.daysAbout")}
                value={days}
                onChange={setDays}
                min={1}
                max={3650}
                allowDecimal={false}
                disabled={fixed || !store}
              />
              <Textarea
                label={t("policy.redact")}
                description={t("policy.redactAbout")}
                value={redact}
                onChange={(event) => setRedact(event.currentTarget.value)}
                autosize
                minRows={2}
                disabled={fixed || !store}
                styles={{ input: { fontFamily: "var(--mantine-font-family-monospace)" } }}
                spellCheck={false}
              />
            </Stack>
          </Fieldset>
        </Card>
        <SaveRow error={asking ? null : error} busy={isPending} locked={locked} ready={trust.length > 0} />
      </Stack>
      {asking && (
        <Consent
          project={project.name}
          tools={tools}
          busy={isPending}
          error={error}
          onClose={() => setAsking(false)}
          onAgree={() => save(changes())}
        />
      )}
    </form>
  )
}
