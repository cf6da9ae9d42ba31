import { useTranslation } from "react-i18next"

import { PageHead } from "../../parts/PageHead"

export default function Connect() {
  const { t } = useTranslation("connect")
  return <PageHead title={t("title")} about={t("about")} />
}
