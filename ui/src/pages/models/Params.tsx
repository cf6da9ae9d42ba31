import { Fieldset, NumberInput, SegmentedControl, SimpleGrid, TagsInput, Text, Textarea } from "@mantine/core"
import { useState } from "react"
import { useTranslation } from "react-i18next"

export type Values = Record<string, unknown>

/** The bounds that the API holds them to. */
const FIELDS: [name: string, min: number, max: number, step: number, whole: boolean][] = [
  ["temperature", 0, 2, 0.1, false],
  ["top_p", 0, 1, 0.05, false],
  ["max_tokens", 1, 1_000_000, 256, true],
  ["num_ctx", 64, 10_000_000, 1024, true],
  ["top_k", 0, 1_000_000, 1, true],
  ["min_p", 0, 1, 0.05, false],
  ["presence_penalty", -2, 2, 0.1, false],
  ["frequency_penalty", -2, 2, 0.1, false],
  ["repeat_penalty", 0, 10, 0.1, false],
  ["seed", -Number.MAX_SAFE_INTEGER, Number.MAX_SAFE_INTEGER, 1, true],
]

interface Props {
  value: Values
  /** `null`: what is written is no JSON object. */
  onChange: (value: Values | null) => void
}

/** Default parameters, as a form or as JSON. */
export function Params({ value, onChange }: Props) {
  const { t } = useTranslation("models")
  const [values, setValues] = useState(value)
  const [how, setHow] = useState("form")
  const [text, setText] = useState("")
  const [wrong, setWrong] = useState("")

  function change(next: Values) {
    setValues(next)
    onChange(next)
  }
  function one(name: string, entered: unknown) {
    const { [name]: _, ...others } = values
    const none = entered === "" || (Array.isArray(entered) && entered.length === 0)
    change(none ? others : { ...others, [name]: entered })
  }
  function write(written: string) {
    setText(written)
    try {
      const read: unknown = JSON.parse(written.trim() || "{}")
      if (typeof read !== "object" || read === null || Array.isArray(read))
        throw new Error(t("params.object"))
      setWrong("")
      change(read as Values)
    } catch (problem) {
      setWrong((problem as Error).message)
      onChange(null)
    }
  }
  function view(next: string) {
    if (next === "json") setText(JSON.stringify(values, null, 2))
    else if (wrong) return // mend it first: the form cannot show it
    setHow(next)
  }

  return (
    <Fieldset legend={t("params.title")}>
      <SegmentedControl
        size="xs"
        mb="xs"
        aria-label={t("params.view")}
        data={[
          { value: "form", label: t("params.form") },
          { value: "json", label: "JSON" },
        ]}
        value={how}
        onChange={view}
      />
      <Text size="xs" c="dimmed" mb="xs">
        {t("params.about")}
      </Text>
      {how === "json" ? (
        <Textarea
          aria-label={t("params.json")}
          autosize
          minRows={4}
          maxRows={16}
          spellCheck={false}
          styles={{ input: { fontFamily: "var(--mantine-font-family-monospace)", fontSize: 12 } }}
          error={wrong}
          value={text}
          onChange={(event) => write(event.currentTarget.value)}
        />
      ) : (
        <SimpleGrid cols={{ base: 2, xs: 3 }} spacing="xs">
          {FIELDS.map(([name, min, max, step, whole]) => (
            <NumberInput
              key={name}
              label={name}
              size="xs"
              min={min}
              max={max}
              step={step}
              allowDecimal={!whole}
              placeholder={t("params.unset")}
              value={(values[name] as number | undefined) ?? ""}
              onChange={(entered) => one(name, entered)}
            />
          ))}
          <TagsInput
            label="stop"
            size="xs"
            maxTags={16}
            placeholder={t("params.stop")}
            value={typeof values.stop === "string" ? [values.stop] : ((values.stop as string[]) ?? [])}
            onChange={(entered) => one("stop", entered)}
          />
        </SimpleGrid>
      )}
    </Fieldset>
  )
}
