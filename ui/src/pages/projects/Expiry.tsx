import { Select, TextInput } from "@mantine/core"
import { useState } from "react"
import { useTranslation } from "react-i18next"

const DAY = 86_400_000
const days = ["7", "30", "90", "365"]

interface Props {
  label: string
  /** ISO time; null: never. */
  onChange: (expires: string | null) => void
}

/** When a key ends: never, after some days, or at a time. */
export function Expiry({ label, onChange }: Props) {
  const { t } = useTranslation("projects")
  const [chosen, setChosen] = useState("never")
  function choose(value: string) {
    setChosen(value)
    onChange(days.includes(value) ? new Date(Date.now() + Number(value) * DAY).toISOString() : null)
  }
  return (
    <>
      <Select
        label={label}
        value={chosen}
        allowDeselect={false}
        onChange={(value) => choose(value ?? "never")}
        data={[
          { value: "never", label: t("keys.never") },
          ...days.map((value) => ({ value, label: t("expiry.days", { count: Number(value) }) })),
          { value: "at", label: t("expiry.at") },
        ]}
      />
      {chosen === "at" && (
        <TextInput
          type="datetime-local"
          label={t("expiry.time")}
          required
          onChange={(event) => {
            const time = new Date(event.currentTarget.value)
            onChange(isNaN(time.getTime()) ? null : time.toISOString())
          }}
        />
      )}
    </>
  )
}
