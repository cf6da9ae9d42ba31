import { Radio, Stack } from "@mantine/core"
import { useTranslation } from "react-i18next"

import type { Shape } from "../../api/client"

/** Whose machine it is: it decides which projects' prompts it may see. */
export function Trusted({
  value,
  onChange,
}: {
  value: Shape["Trust"]
  onChange: (value: Shape["Trust"]) => void
}) {
  const { t } = useTranslation("fleet")
  return (
    <Radio.Group
      label={t("trustOf")}
      size="sm"
      value={value}
      onChange={(chosen) => onChange(chosen as Shape["Trust"])}
    >
      <Stack gap={6} mt={4}>
        {(["own", "partner", "public"] as const).map((each) => (
          <Radio
            key={each}
            size="xs"
            value={each}
            label={t(`trust.${each}`)}
            description={t(`trustAbout.${each}`)}
          />
        ))}
      </Stack>
    </Radio.Group>
  )
}
