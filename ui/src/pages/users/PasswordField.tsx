import { Button, Group, PasswordInput } from "@mantine/core"
import { useTranslation } from "react-i18next"

import { Copy } from "../../parts/CodeBox"
import { makePassword } from "./shapes"

interface Props {
  value: string
  onChange: (value: string) => void
}

/** A password to pass on: typed, or made here. It is shown, for somebody else has to get it. */
export function PasswordField({ value, onChange }: Props) {
  const { t } = useTranslation("users")
  return (
    <Group align="flex-end" gap={6} wrap="nowrap">
      <PasswordInput
        flex={1}
        label={t("password.label")}
        description={t("password.about")}
        value={value}
        onChange={(event) => onChange(event.currentTarget.value)}
        required
        minLength={15}
        maxLength={200}
        autoComplete="new-password"
        visibilityToggleButtonProps={{ "aria-label": t("password.show") }}
      />
      <Button variant="default" size="sm" onClick={() => onChange(makePassword())}>
        {t("password.make")}
      </Button>
      {value && <Copy value={value} label={t("password.copy")} />}
    </Group>
  )
}
