import { Group, MultiSelect, SegmentedControl, Select, Switch } from "@mantine/core"
import { useTranslation } from "react-i18next"

import { ModelPick, ProjectPick } from "../../parts/Picks"
import { type Bucket, buckets, dimensions, fits, groupsOf, metricOf, metrics } from "./figures"

export interface Values extends Record<string, string> {
  range: string
  metric: string
  by: string
  bucket: string
  look: string
  sum: string
  project: string
  model: string
}

interface Props {
  values: Values
  set: (changes: Partial<Values>) => void
  /** The length of the range, and the bucket in use. */
  seconds: number
  bucket: Bucket
}

export function Controls({ values, set, seconds, bucket }: Props) {
  const { t } = useTranslation("usage")
  return (
    <Group gap="xs" mb="md" align="flex-end">
      <Select
        label={t("metric")}
        size="xs"
        w={190}
        allowDeselect={false}
        searchable
        value={values.metric in metrics ? values.metric : "requests"}
        onChange={(metric) => set({ metric: metric ?? "" })}
        data={Object.keys(metrics).map((value) => ({ value, label: t(`metrics.${value}`) }))}
      />
      <MultiSelect
        label={t("by")}
        size="xs"
        miw={190}
        maw={320}
        maxValues={2}
        clearable
        placeholder={values.by ? undefined : t("nothing")}
        value={groupsOf(values.by)}
        onChange={(by) => set({ by: by.join(",") || "none" })}
        data={dimensions.map((value) => ({ value, label: t(`dimensions.${value}`) }))}
      />
      <Select
        label={t("bucket")}
        size="xs"
        w={165}
        allowDeselect={false}
        disabled={lookOf(values.look, values.metric) === "week"}
        value={values.bucket || "auto"}
        onChange={(value) => set({ bucket: value === "auto" ? "" : (value ?? "") })}
        data={[
          { value: "auto", label: t("buckets.auto", { bucket: t(`buckets.${bucket}`) }) },
          ...(Object.keys(buckets) as Bucket[]).map((value) => ({
            value,
            label: t(`buckets.${value}`),
            disabled: !fits(value, seconds),
          })),
        ]}
      />
      <ProjectPick value={values.project} onChange={(project) => set({ project })} />
      <ModelPick value={values.model} onChange={(model) => set({ model })} />
    </Group>
  )
}

/** How the course is drawn: figures that do not add up are no bars, and have no sum. */
export const lookOf = (look: string, metric: string): "bars" | "lines" | "week" =>
  look === "week" ? look : look === "lines" || !metricOf(metric).adds ? "lines" : "bars"

export function Look({ values, set }: Pick<Props, "values" | "set">) {
  const { t } = useTranslation("usage")
  const adds = metricOf(values.metric).adds
  const look = lookOf(values.look, values.metric)
  return (
    <Group gap="md">
      <SegmentedControl
        size="xs"
        aria-label={t("look")}
        value={look}
        onChange={(next) => set({ look: next === "bars" ? "" : next })}
        data={["bars", "lines", "week"].map((value) => ({
          value,
          label: t(`looks.${value}`),
          disabled: value === "bars" && !adds,
        }))}
      />
      <Switch
        size="xs"
        styles={{ track: { flexShrink: 0 } }}
        label={t("cumulative")}
        disabled={!adds || look === "week"}
        checked={adds && look !== "week" && values.sum === "1"}
        onChange={(event) => set({ sum: event.currentTarget.checked ? "1" : "" })}
      />
    </Group>
  )
}
