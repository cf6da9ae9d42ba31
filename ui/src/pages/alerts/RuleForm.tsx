import { Button, Grid, Group, Modal, NumberInput, Select, Stack, Text, TextInput } from "@mantine/core"
import { type FormEvent, useState } from "react"
import { useTranslation } from "react-i18next"

import { api } from "../../api/client"
import { Problem } from "../../parts/Problem"
import { done } from "../../parts/told"
import { type Metric, type Rule, type Severity, severities, spanOf, whenOf } from "./shapes"

interface Props {
  /** Absent: a new one. */
  rule?: Rule
  metrics: Metric[]
  onClose: () => void
  onChanged: () => Promise<unknown>
}

/** What is watched, and when it is worth telling. The API says what is wrong with it. */
export function RuleForm({ rule, metrics, onClose, onChanged }: Props) {
  const { t } = useTranslation("alerts")
  const [name, setName] = useState(rule?.name ?? "")
  const [metricName, setMetric] = useState(rule?.metric ?? "error_share")
  const [comparison, setComparison] = useState<string>(rule?.comparison ?? ">")
  const [threshold, setThreshold] = useState<number | string>(
    rule ? (rule.unit === "share" ? +(rule.threshold * 100).toFixed(6) : rule.threshold) : 5,
  )
  const [over, setOver] = useState(spanOf(rule?.over_s) || "5m")
  const [hold, setHold] = useState(spanOf(rule?.for_s))
  const [severity, setSeverity] = useState<Severity>((rule?.severity as Severity) ?? "warning")
  const [project, setProject] = useState(rule?.project ?? "")
  const [model, setModel] = useState(rule?.model ?? "")
  const [each, setEach] = useState(rule?.each ?? "")
  const [least, setLeast] = useState<number | string>(rule?.min_requests ?? "")
  const [busy, setBusy] = useState(false)
  const [error, setError] = useState<unknown>(null)
  const metric = metrics.find((one) => one.name === metricName)
  const unit = metric?.unit ?? ""
  const sampled = /share|p95/.test(metricName) && !!metric?.windowed

  async function submit(event: FormEvent) {
    event.preventDefault()
    setBusy(true)
    setError(null)
    const body = {
      when: whenOf(metricName, comparison, Number(threshold), unit),
      over: metric?.windowed ? over : null,
      for: hold || null,
      severity,
      project: metric?.scopes.includes("project") ? project || null : null,
      model: metric?.scopes.includes("model") ? model || null : null,
      each: metric?.each ? ((each || null) as "project" | "model" | null) : null,
      min_requests: sampled && least !== "" ? Number(least) : null,
    }
    try {
      if (rule)
        await api.PATCH("/admin/api/alerts/rules/{name}", { params: { path: { name: rule.name } }, body })
      else await api.POST("/admin/api/alerts/rules", { body: { ...body, name, enabled: true } })
      await onChanged()
      done(t(rule ? "saved" : "created", { name }))
      onClose()
    } catch (problem) {
      setError(problem)
    } finally {
      setBusy(false)
    }
  }

  return (
    <Modal opened onClose={onClose} title={rule ? t("editTitle", { name: rule.name }) : t("new")} size="lg">
      <form onSubmit={(event) => void submit(event)}>
        <Stack gap="sm">
          {!rule && (
            <TextInput
              label={t("columns.name")}
              description={t("nameAbout")}
              required
              maxLength={60}
              pattern="[a-z0-9_]+"
              value={name}
              onChange={(event) => setName(event.currentTarget.value)}
              autoComplete="off"
              data-autofocus
            />
          )}
          <Grid gap="sm" align="flex-start">
            <Grid.Col span={{ base: 12, xs: 6 }}>
              <Select
                label={t("columns.metric")}
                required
                searchable
                allowDeselect={false}
                value={metricName}
                onChange={(value) => setMetric(value ?? "")}
                data={metrics.map((one) => one.name)}
              />
            </Grid.Col>
            <Grid.Col span={{ base: 4, xs: 2 }}>
              <Select
                label={t("columns.is")}
                allowDeselect={false}
                value={comparison}
                onChange={(value) => setComparison(value ?? ">")}
                data={[">", ">=", "<", "<="]}
              />
            </Grid.Col>
            <Grid.Col span={{ base: 8, xs: 4 }}>
              <NumberInput
                label={t("columns.threshold")}
                required
                min={0}
                hideControls
                suffix={unit === "share" ? " %" : ["ms", "s", "days"].includes(unit) ? ` ${unit}` : ""}
                value={threshold}
                onChange={setThreshold}
              />
            </Grid.Col>
          </Grid>
          {metric && (
            <Text size="xs" c="dimmed" lang="en">
              {metric.says}
            </Text>
          )}
          <Group grow align="flex-start" gap="sm">
            {metric?.windowed && (
              <TextInput
                label={t("columns.over")}
                description={t("overAbout")}
                required
                value={over}
                onChange={(event) => setOver(event.currentTarget.value)}
              />
            )}
            <TextInput
              label={t("columns.for")}
              description={t("forAbout")}
              placeholder={t("atOnce")}
              value={hold}
              onChange={(event) => setHold(event.currentTarget.value)}
            />
            <Select
              label={t("columns.severity")}
              description={t("severityAbout")}
              allowDeselect={false}
              value={severity}
              onChange={(value) => setSeverity((value as Severity) ?? "warning")}
              data={severities.map((value) => ({ value, label: t(`severities.${value}`) }))}
            />
          </Group>
          <Group grow align="flex-start" gap="sm">
            {metric?.scopes.includes("project") && (
              <TextInput
                label={t("columns.project")}
                placeholder={t("any")}
                value={project}
                onChange={(event) => setProject(event.currentTarget.value)}
              />
            )}
            {metric?.scopes.includes("model") && (
              <TextInput
                label={t("columns.model")}
                placeholder={t("any")}
                value={model}
                onChange={(event) => setModel(event.currentTarget.value)}
              />
            )}
            {metric?.each && (
              <Select
                label={t("columns.each")}
                placeholder={t("together")}
                clearable
                value={each || null}
                onChange={(value) => setEach(value ?? "")}
                data={metric.scopes.map((value) => ({ value, label: t(`each.${value}`) }))}
              />
            )}
            {sampled && (
              <NumberInput
                label={t("columns.least")}
                placeholder="10"
                min={1}
                value={least}
                onChange={setLeast}
              />
            )}
          </Group>
          {error != null && <Problem error={error} />}
          <Group justify="flex-end">
            <Button variant="default" onClick={onClose}>
              {t("cancel", { ns: "shell" })}
            </Button>
            <Button type="submit" loading={busy}>
              {t(rule ? "save" : "create", { ns: "shell" })}
            </Button>
          </Group>
        </Stack>
      </form>
    </Modal>
  )
}
