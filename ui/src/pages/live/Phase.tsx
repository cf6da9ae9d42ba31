import { Group, Text } from "@mantine/core"
import { useTranslation } from "react-i18next"

import type { Shape } from "../../api/client"
import css from "./live.module.css"

const steps = ["body", "waiting", "connecting", "first_token", "streaming"] as const

/** How far a request has come: one mark a step, and the name of the step that it is at. */
export function Phase({ phase }: { phase: Shape["InFlight"]["phase"] }) {
  const { t } = useTranslation("live")
  const at = (steps as readonly string[]).indexOf(phase)
  return (
    <Group gap={8} wrap="nowrap">
      <span className={css.steps} data-ending={phase === "ending" || undefined} aria-hidden>
        {steps.map((step, index) => (
          <i key={step} data-done={index < at || undefined} data-now={index === at || undefined} />
        ))}
      </span>
      <Text span size="sm" style={{ whiteSpace: "nowrap" }}>
        {t(`phases.${phase}`)}
      </Text>
    </Group>
  )
}
