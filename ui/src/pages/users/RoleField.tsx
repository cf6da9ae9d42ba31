import { Radio, Stack } from "@mantine/core"
import { useTranslation } from "react-i18next"

import { type Role, roles } from "./shapes"

/** The three roles, with what each may do. */
export function RoleField({ value, onChange }: { value: Role; onChange: (role: Role) => void }) {
  const { t } = useTranslation("users")
  return (
    <Radio.Group label={t("columns.role")} value={value} onChange={(role) => onChange(role as Role)}>
      <Stack gap="xs" mt={4}>
        {roles.map((role) => (
          <Radio
            key={role}
            value={role}
            label={t(`roles.${role}`, { ns: "shell" })}
            description={t(`may.${role}`)}
          />
        ))}
      </Stack>
    </Radio.Group>
  )
}
