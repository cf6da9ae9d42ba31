import { Text } from "@mantine/core"
import { useState } from "react"
import { useTranslation } from "react-i18next"

import { done } from "../../parts/told"
import { FormModal } from "./FormModal"
import { PasswordField } from "./PasswordField"
import type { User } from "./shapes"

interface Props {
  user: User
  onClose: () => void
  onSave: (password: string) => Promise<void>
}

export function ResetPassword({ user, onClose, onSave }: Props) {
  const { t } = useTranslation("users")
  const [password, setPassword] = useState("")
  return (
    <FormModal
      title={t("password.title", { name: user.name })}
      action={t("password.action")}
      onClose={onClose}
      onSubmit={async () => {
        await onSave(password)
        done(t("password.done", { name: user.name }))
      }}
    >
      <Text size="sm">{t("password.text")}</Text>
      <PasswordField value={password} onChange={setPassword} />
    </FormModal>
  )
}
