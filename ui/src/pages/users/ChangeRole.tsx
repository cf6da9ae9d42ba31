import { useState } from "react"
import { useTranslation } from "react-i18next"

import { done } from "../../parts/told"
import { FormModal } from "./FormModal"
import { RoleField } from "./RoleField"
import type { Role, User } from "./shapes"

interface Props {
  user: User
  onClose: () => void
  onSave: (role: Role) => Promise<void>
}

export function ChangeRole({ user, onClose, onSave }: Props) {
  const { t } = useTranslation("users")
  const [role, setRole] = useState<Role>(user.role)
  return (
    <FormModal
      title={t("role.title", { name: user.name })}
      action={t("save", { ns: "shell" })}
      onClose={onClose}
      onSubmit={async () => {
        await onSave(role)
        done(t("role.done", { name: user.name }))
      }}
    >
      <RoleField value={role} onChange={setRole} />
    </FormModal>
  )
}
