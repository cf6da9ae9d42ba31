import { TextInput } from "@mantine/core"
import { useState } from "react"
import { useTranslation } from "react-i18next"

import { api } from "../../api/client"
import { done } from "../../parts/told"
import { FormModal } from "./FormModal"
import { PasswordField } from "./PasswordField"
import { RoleField } from "./RoleField"
import type { Role } from "./shapes"

export function NewUser({ onClose, onChanged }: { onClose: () => void; onChanged: () => Promise<void> }) {
  const { t } = useTranslation("users")
  const [role, setRole] = useState<Role>("viewer")
  const [password, setPassword] = useState("")
  async function create(form: FormData) {
    const name = String(form.get("name")).trim()
    await api.POST("/admin/api/users", { body: { name, role, password } })
    await onChanged()
    done(t("created", { name }))
  }
  return (
    <FormModal title={t("new")} action={t("create", { ns: "shell" })} onClose={onClose} onSubmit={create}>
      <TextInput
        name="name"
        label={t("columns.name")}
        description={t("nameAbout")}
        required
        maxLength={64}
        autoCapitalize="off"
        autoComplete="off"
        data-autofocus
      />
      <RoleField value={role} onChange={setRole} />
      <PasswordField value={password} onChange={setPassword} />
    </FormModal>
  )
}
