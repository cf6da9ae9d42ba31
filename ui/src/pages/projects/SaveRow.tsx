import { Button, Group } from "@mantine/core"
import { useTranslation } from "react-i18next"

import { Gate } from "../../parts/Gate"
import { Problem } from "../../parts/Problem"

interface Props {
  error: unknown
  busy: boolean
  locked: boolean
  /** Is there anything to save? */
  ready?: boolean
}

/** The end of a form: what is wrong, and the button. */
export function SaveRow({ error, busy, locked, ready = true }: Props) {
  const { t } = useTranslation("shell")
  return (
    <>
      {error != null && <Problem error={error} />}
      <Group>
        <Gate locked={locked}>
          {(disabled) => (
            <Button type="submit" loading={busy} disabled={disabled || !ready}>
              {t("save")}
            </Button>
          )}
        </Gate>
      </Group>
    </>
  )
}
