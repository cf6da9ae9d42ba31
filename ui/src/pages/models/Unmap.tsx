import { useTranslation } from "react-i18next"

import { api, type Shape } from "../../api/client"
import { queries } from "../../api/queries"
import { Confirm } from "../../parts/Confirm"
import { done } from "../../parts/told"
import { changed } from "./changed"

/** Before a logical name goes. */
export function Unmap({ model, onClose }: { model: Shape["ListedModel"] | null; onClose: () => void }) {
  const { t } = useTranslation("models")
  return (
    <Confirm
      opened={model !== null}
      onClose={onClose}
      title={t("delete.title", { name: model?.name })}
      text={t(model?.project ? "delete.ofProject" : "delete.ofAll", { project: model?.project })}
      action={t("delete", { ns: "shell" })}
      onAction={async () => {
        await api.DELETE("/admin/api/models/{model_id}", { params: { path: { model_id: model!.id } } })
        await changed(queries)
        done(t("delete.done", { name: model!.name }))
      }}
    />
  )
}
