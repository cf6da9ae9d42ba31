import { useTranslation } from "react-i18next"

import { PageHead } from "../../parts/PageHead"

export default function Users() {
  const { t } = useTranslation("users")
  return <PageHead title={t("title")} about={t("about")} />
}
