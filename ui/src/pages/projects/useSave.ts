import { useTranslation } from "react-i18next"

import { use } from "../../api/client"
import { done } from "../../parts/told"
import { type Changes, type Project, useChanged } from "./shapes"

/** Changes of a project: only what is passed is changed. */
export function useSave(project: Project, onSaved?: (name: string) => void) {
  const { t } = useTranslation("projects")
  const changed = useChanged()
  const change = use.useMutation("patch", "/admin/api/projects/{project}", {
    onSuccess: async ({ name }) => {
      await changed()
      onSaved?.(name)
      done(t("saved"))
    },
  })
  return {
    ...change,
    save: (body: Changes) => change.mutate({ params: { path: { project: project.id } }, body }),
  }
}
