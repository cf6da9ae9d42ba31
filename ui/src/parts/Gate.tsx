import { Tooltip } from "@mantine/core"
import type { ReactNode } from "react"
import { useTranslation } from "react-i18next"

import { useMay } from "../app/session"

interface Props {
  role?: "editor" | "owner"
  /** Does the configuration file own what would be changed? */
  locked?: boolean
  children: (disabled: boolean) => ReactNode
}

/** An action that not everybody may do: it is shown all the same, greyed, and says why. */
export function Gate({ role = "editor", locked = false, children }: Props) {
  const { t } = useTranslation("projects")
  const may = useMay(role)
  const disabled = locked || !may
  if (!disabled) return <>{children(false)}</>
  return (
    <Tooltip label={may ? t("owned.file", { ns: "shell" }) : t(`gate.${role}`)} multiline maw={300}>
      <span style={{ display: "inline-block", flex: "none" }}>{children(true)}</span>
    </Tooltip>
  )
}
